"""What config.toml may say, and what is said of what it may not."""

from __future__ import annotations

import logging

import pytest
from test_files import KINDS, descriptors, make

from swiftd import config
from swiftd.config import Config, ConfigError, Duration, PluginSettings, Size
from swiftd.spelling import strangers
from swiftd.text import LONGEST


def refusal(text):
    with pytest.raises(ConfigError) as caught:
        config.parse(text)
    return str(caught.value)


def test_nothing_said_means_the_defaults():
    assert config.parse("") == Config()
    assert Config().workers == 2
    assert Config().plugin("any") == PluginSettings()
    assert PluginSettings().enabled
    assert PluginSettings().trigger is None
    assert PluginSettings().deadline == 1.0
    assert PluginSettings().memory == 64 * 1024**2
    assert PluginSettings().max_items == 1000
    assert PluginSettings().grants == config.GrantSettings(read=[], write=[], env=[], clock=False)


def test_everything_that_can_be_said():
    found = config.parse(
        """
        workers = 5
        settings = { theme = "dark" }
        [plugins.files]
        trigger = "/"
        enabled = false
        deadline = "500ms"
        memory = "128MiB"
        max_items = 20
        grants = { read = ["~"], write = ["/tmp"], env = ["EDITOR"], clock = true }
        settings = { hidden = false, depth = { most = 3 } }
        """
    )
    files = found.plugin("files")
    assert found.workers == 5
    assert found.settings == {"theme": "dark"}
    assert (files.trigger, files.enabled, files.max_items) == ("/", False, 20)
    assert files.deadline == pytest.approx(0.5)
    assert files.memory == 128 * 1024**2
    assert files.grants == config.GrantSettings(read=["~"], write=["/tmp"], env=["EDITOR"], clock=True)
    assert files.settings == {"hidden": False, "depth": {"most": 3}}


def test_the_settings_of_one_plugin_are_not_those_of_another():
    found = config.parse("[plugins.a]\n[plugins.b]\n")
    found.plugins["a"].settings["x"] = 1
    found.plugins["a"].grants.read.append("/")
    assert found.plugin("b") == PluginSettings()
    assert Config() == Config(workers=2, settings={}, plugins={})


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("1.5s", 1.5), ("2s", 2), (" 2 s ", 2), ("1m", 60), ("60s", 60), ("0.5ms", 0.0005)],
)
def test_durations(text, seconds):
    assert Duration.parse(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        5,
        1.5,
        "0s",
        "0ms",
        "-1s",
        "61s",
        "1.1m",
        "1h",
        "s",
        "1 2s",
        "1e3ms",
        "infs",
        "nan",
        True,
        None,
        "1S",
        "9" * 5000 + "s",
        ".5s",
        "1.s",
    ],
)
def test_what_is_no_duration(text):
    with pytest.raises(ValueError, match="at most a minute"):
        Duration.parse(text)


@pytest.mark.parametrize(
    ("text", "size"), [("64KiB", 65536), ("1MiB", 1048576), ("4GiB", 2**32), (" 64 MiB", 64 * 2**20)]
)
def test_sizes(text, size):
    assert Size.parse(text) == size


@pytest.mark.parametrize(
    "text", ["", "64", 64, "63KiB", "0MiB", "5GiB", "4097MiB", "-1MiB", "1.5MiB", "64MB", "64mib", True, None, "1TiB"]
)
def test_what_is_no_size(text):
    with pytest.raises(ValueError, match="expected a size"):
        Size.parse(text)


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ("wokers = 2", 1, "wokers"),
        ("\n\nworkers = 2\nworker = 2\n", 4, "worker"),
        ("[plugins.a]\ndeadlin = '1s'\n", 2, "deadlin"),
        ("[plugins.a]\n[plugins.b]\nenabled = true\nenable = true\n", 4, "enable"),
        ("[plugins.a]\ngrants = { read = [], network = true }\n", 2, "network"),
        ("[plugins.a.grants]\nread = []\nnetwork = true\n", 3, "network"),
        ("plugins.a.colour = 1\n", 1, "colour"),
        ("[plugin.a]\n", 1, "plugin"),
        ("[plugins.a]\n# colour = 1\n'colour' = 2\n", 3, "colour"),
    ],
)
def test_an_unknown_key_is_named_with_its_line(text, line, key):
    message = refusal(text)
    assert message.startswith(f"line {line}: ")
    assert f"`{key}`" in message
    assert "no such setting" in message


@pytest.mark.parametrize(
    ("text", "line", "key", "expected"),
    [
        ("workers = '2'", 1, "workers", "int"),
        ("workers = true", 1, "workers", "int"),
        ("workers = 2.5", 1, "workers", "int"),
        ("workers = 1", 1, "workers", ">= 2"),
        ("workers = 33", 1, "workers", "<= 32"),
        ("workers = -99999999999999999999", 1, "workers", ""),
        ("plugins = 1", 1, "plugins", "object"),
        ("settings = 1", 1, "settings", "object"),
        ("[plugins.a]\nenabled = 1", 2, "enabled", "bool"),
        ("[plugins.a]\ntrigger = 1", 2, "trigger", "str"),
        ("[plugins.a]\ndeadline = 1", 2, "deadline", "500ms"),
        ("[plugins.a]\n\ndeadline = '2h'", 3, "deadline", "500ms"),
        ("[plugins.a]\nmemory = '1kB'", 2, "memory", "64KiB"),
        ("[plugins.a]\nmax_items = 0", 2, "max_items", ">= 1"),
        ("[plugins.a]\nmax_items = 10001", 2, "max_items", "<= 10000"),
        ("[plugins.a]\ngrants = []", 2, "grants", "object"),
        ("[plugins.a]\ngrants = { read = '~' }", 2, "read", "array"),
        ("[plugins.a]\ngrants.env = [1]", 2, "env", "str"),
        ("[plugins.a]\ngrants.clock = 'yes'", 2, "clock", "bool"),
    ],
)
def test_a_wrong_value_is_named_with_its_line_and_what_is_right(text, line, key, expected):
    message = refusal(text)
    assert message.startswith(f"line {line}: `{key}`: ")
    assert expected in message


def test_a_wrong_value_is_found_in_the_section_that_holds_it():
    text = "[plugins.a]\ndeadline = '1s'\n[plugins.b]\ndeadline = '1s'\n[plugins.c]\ndeadline = 'soon'\n"
    assert refusal(text).startswith("line 6: `deadline`")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("workers = ", 1),
        ("workers = 2\nworkers = 3\n", 2),
        ("a = 1\n\n[plugins.a\n", 3),
        ("x = 'unended", 1),
        ("x = '''unended\n\n", 3),
        ("\x00", 1),
        ("= 1", 1),
    ],
)
def test_a_syntax_error_is_named_with_its_line(text, line):
    message = refusal(text)
    assert message.startswith(f"line {line}: ")
    assert len(message) > 12
    assert "(at" not in message


def test_a_file_that_is_nested_too_deeply_is_refused():
    assert "line 1" in refusal("settings.x = " + "[" * 5000)


def test_no_file_means_the_defaults(tmp_path):
    assert config.read(tmp_path / "config.toml") == Config()


def test_a_file_is_read_as_utf8(tmp_path):
    path = tmp_path / "config.toml"
    path.write_bytes("[plugins.'größe']\ntrigger = '€'\n".encode())
    assert config.read(path).plugin("größe").trigger == "€"


@pytest.mark.parametrize("content", [b"workers = 1\n", b"x =", b"# \xff\n", b"\xff\xfex\0"])
def test_an_unusable_file_is_named(tmp_path, content):
    path = tmp_path / "config.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        config.read(path)
    assert str(path) in str(caught.value)


def test_a_folder_in_its_place_is_named(tmp_path):
    with pytest.raises(ConfigError, match=str(tmp_path)):
        config.read(tmp_path)


def test_a_file_in_place_of_its_folder_is_named(tmp_path):
    (tmp_path / "swift").write_text("")
    with pytest.raises(ConfigError, match="swift/config"):
        config.read(tmp_path / "swift" / "config.toml")


# ---- what was meant ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("wokers = 2", "line 1: `wokers`: there is no such setting: did you mean `workers`?"),
        ("[plugin.calc]\n", "line 1: `plugin`: there is no such setting: did you mean `plugins`?"),
        ("[Plugins.calc]\n", "line 1: `Plugins`: there is no such setting: did you mean `plugins`?"),
        ("\n[calc]\ntrigger = 'c '", "line 2: `calc`: there is no such setting: did you mean `[plugins.calc]`?"),
        ("['my calc']", 'line 1: `my calc`: there is no such setting: did you mean `[plugins."my calc"]`?'),
        ("[plugins.a]\ntriger = 'x'", "line 2: `triger`: there is no such setting: did you mean `trigger`?"),
        ("[plugins.a]\nTrigger = 'x'", "line 2: `Trigger`: there is no such setting: did you mean `trigger`?"),
        ("[plugins.a]\nread = ['~']", "line 2: `read`: there is no such setting: did you mean `grants.read`?"),
        ("[plugins.a.grants]\nreads = []", "line 2: `reads`: there is no such setting: did you mean `read`?"),
        ("[plugins.a.grants]\nnetwork = true", "line 2: `network`: there is no such setting"),
        ("colour = 1", "line 1: `colour`: there is no such setting"),
    ],
)
def test_of_an_unknown_key_the_one_that_was_meant_is_named(text, message):
    assert refusal(text) == message


def test_the_line_is_that_of_the_section_and_not_of_a_setting_of_its_name():
    text = "[plugins.b.settings]\na = 1\nenv = 2\n[plugins.a.grants]\nenv = ['PATH=x']\n"
    assert refusal(text).startswith("line 5: `env`")


def test_lines_are_counted_as_editors_do():
    assert refusal("# a\u2028b\x85c\nwokers = 2").startswith("line 2: ")


def test_a_section_is_for_the_file_whose_name_looks_the_same():
    for section, name in (("\u00e9tat", "e\u0301tat"), ("e\u0301tat", "\u00e9tat")):
        found = config.parse(f"[plugins.'{section}']\nmax_items = 5")
        assert found.plugin(name).max_items == 5
        assert strangers({section: 1}, [name]) == []
        assert found.plugin("etat").max_items != 5


# ---- values that would have no effect ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("PATH=x", "found 'PATH=x': write 'PATH', and the plugin gets what swiftd has under it"),
        ("$HOME", "found '$HOME': write 'HOME'"),
        ("${HOME}", "found '${HOME}': write 'HOME'"),
        (" EDITOR", "found ' EDITOR': write 'EDITOR'"),
        ("A B", "found 'A B': write 'A'"),
        ("=x", "expected the name of an environment variable, found '=x'"),
        ("", "expected a name, found ''"),
        (" ", "expected a name, found ' '"),
    ],
)
def test_what_is_no_variable_s_name_is_an_error_with_its_line(entry, message):
    for text in (f"[plugins.a]\ngrants.env = ['LANG', '{entry}']\n", f"plugins.a.grants = {{ env = ['{entry}'] }}"):
        said = refusal(text)
        assert said.startswith(f"line {2 if 'LANG' in text else 1}: `env`: ")
        assert message in said
    assert refusal(f"[plugins.a.grants]\nenv = [\n  'LANG',\n  'X{entry}=',\n]\n").startswith("line 4: ")


@pytest.mark.parametrize("name", ["PATH", "_", "http_proxy", "npm_config_user-agent", "BASH_FUNC_x%%", "P(x86)", "É"])
def test_any_name_that_a_variable_can_have_is_one(name):
    assert config.parse(f"[plugins.a.grants]\nenv = ['{name}']").plugin("a").grants.env == [name]


@pytest.mark.parametrize("key", ["read", "write", "env"])
def test_an_entry_that_is_there_twice_is_an_error(key):
    assert refusal(f"[plugins.a.grants]\n{key} = ['x', 'y', 'x']") == f"line 2: `{key}`: 'x' is there twice"


@pytest.mark.parametrize("key", ["read", "write"])
def test_no_path_is_an_error(key):
    assert refusal(f"[plugins.a.grants]\n{key} = ['']") == f"line 2: `{key}`: expected a path, found ''"


@pytest.mark.parametrize("trigger", ["a\\n", "\\t", "\\u001b[", "\\u202e", "\\u2028"])
def test_a_trigger_that_can_not_be_typed_is_an_error(trigger):
    assert "line 2: `trigger`: expected a trigger that can be typed" in refusal(f'[plugins.a]\ntrigger = "{trigger}"')


def test_a_trigger_that_no_plugin_may_have_for_its_length_is_an_error():
    assert "at most 64 bytes, found 65" in refusal(f"[plugins.a]\ntrigger = '{'x' * 65}'")


@pytest.mark.parametrize("trigger", ["", " ", "\U0001f468\u200d\U0001f4bb ", "\uf002", "か\u3000", "x" * 64])
def test_any_other_trigger_is_fine(trigger):
    assert config.parse(f"[plugins.a]\ntrigger = '{trigger}'").plugin("a").trigger == trigger


# ---- how it is written ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfworkers = 3\n",
        b"\xef\xbb\xbf# a comment\r\nworkers = 3\r\n",
        b"workers = 3\r\n[plugins.a]\r\n",
        b"\tworkers\t=\t3\t\n",
        b"workers = 3\r",
        b"workers = 3",
    ],
)
def test_a_byte_order_mark_tabs_and_any_line_end_are_fine(tmp_path, content):
    path = tmp_path / "config.toml"
    path.write_bytes(content)
    assert config.read(path).workers == 3


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_utf16_is_called_by_its_name(tmp_path, encoding):
    path = tmp_path / "config.toml"
    path.write_text("workers = 3\n", encoding=encoding)
    with pytest.raises(ConfigError, match="UTF-16: save it as UTF-8"):
        config.read(path)


def test_other_bytes_are_named_with_their_line(tmp_path):
    path = tmp_path / "config.toml"
    path.write_bytes("# eins\n[plugins.größe]\n".encode("latin-1"))
    with pytest.raises(ConfigError, match="line 2: the byte 0xF6 is no UTF-8: save it as UTF-8"):
        config.read(path)


def test_a_file_that_is_too_large_is_refused_and_not_cut(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text("workers = 3\n" + "# more\n" * (config.LARGEST_FILE // 7))
    with pytest.raises(ConfigError, match="larger than 256 KiB"):
        config.read(path)


# ---- what anybody may have put there ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "too large"])
def test_what_is_no_file_is_said_once_and_leaves_nothing_open(tmp_path, caplog, kind):
    caplog.set_level(logging.ERROR)
    file = config.ConfigFile(make(kind, tmp_path / "config.toml"))
    before = descriptors()
    for _ in range(50):
        assert not file.refresh()
    assert descriptors() == before
    assert file.problem is not None
    assert len(caplog.records) == 1


def test_a_file_is_parsed_once_for_each_content(tmp_path, monkeypatch):
    path = tmp_path / "config.toml"
    parsed = []
    parse = config.parse
    monkeypatch.setattr(config, "parse", lambda text: parsed.append(text) or parse(text))
    file = config.ConfigFile(path)
    for content in ("workers = 3", "workers = ", "workers = 3"):
        path.write_text(content)
        for _ in range(3):
            file.refresh()
    assert parsed == ["workers = 3", "workers = ", "workers = 3"]
    assert file.problem is None
    path.unlink()
    path.mkdir()
    assert not file.refresh()
    assert "found a folder" in file.problem
    path.rmdir()
    path.write_text("workers = 3")
    assert not file.refresh()
    assert file.problem is None


@pytest.mark.parametrize("place", ["settings", "plugins.a.settings", "plugins.a", "plugins.a.grants", "workers", "x"])
@pytest.mark.parametrize("dots", [100, 990, 20_000, 100_000])
def test_a_key_of_very_many_parts_is_an_error_with_its_line(place, dots):
    for text in (f"\n{place}{'.a' * dots} = 1", f"\n[{place}{'.a' * dots}]", f"\n{place} = {{ b{'.a' * dots} = 1 }}"):
        assert refusal(text) == "line 2: the key has more than 16 parts"


@pytest.mark.parametrize("opened", ["[", "{a=", "[{a.b.c="])
@pytest.mark.parametrize("count", [config.MOST_NESTED + 1, 150, 480, 5000])
@pytest.mark.parametrize("head", ["settings", "plugins.a.settings"])
def test_settings_nested_too_deeply_are_an_error_with_their_line(opened, count, head):
    end = "".join({"[": "]", "{": "}"}[c] for c in reversed(opened) if c in "[{")
    message = refusal(f"workers = 2\n\n{head}.x = {opened * count}1{end * count}")
    assert message.startswith("line 3: ")
    assert "nested" in message


@pytest.mark.parametrize("depth", [1, 30, config.MOST_NESTED - 1])
def test_settings_nested_as_deeply_as_people_write_are_fine(depth):
    assert config.parse(f"settings.x = {'[' * depth}{']' * depth}").settings["x"] is not None


@pytest.mark.parametrize("key", ["read", "write", "env"])
def test_a_list_of_very_many_grants_is_an_error(key):
    entries = ", ".join(f"'X{number}'" for number in range(config.MOST_ENTRIES + 1))
    assert refusal(f"[plugins.a.grants]\n\n{key} = [{entries}]").startswith(f"line 3: `{key}`: ")
    config.parse(f"[plugins.a.grants]\n{key} = [{entries.rpartition(', ')[0]}]")


def test_a_name_that_no_file_can_have_is_an_error():
    assert refusal("workers = 2\n[plugins." + "x" * 256 + "]").startswith("line 2: no plugin's name has more than 255")
    assert refusal("[plugins.'" + "é" * 128 + "']").startswith("line 1: no plugin's name")
    config.parse("[plugins." + "x" * 255 + "]")


@pytest.mark.parametrize(
    "text", ["'{}' = 1", "'a' = {{ '{}' = 1 }}", "[plugins.a]\ndeadline = '{}'", "[plugins.a.grants]\nenv = ['{}=']"]
)
def test_what_is_said_is_short_and_harmless_whatever_the_file_holds(text):
    for content in ("x" * 200_000, "\\u001b[2J\\u202e" * 1000, "x " * 50_000):
        message = refusal(text.replace("'", '"').format(content))
        assert len(message) <= LONGEST
        assert message.isprintable()


def test_of_thousands_of_sections_for_nobody_a_few_are_named(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text("".join(f"[plugins.p{number}]\n" for number in range(10_000)))
    file = config.ConfigFile(path)
    assert file.refresh()
    file.compare(["p1", "calc"])
    assert file.strangers[1] == "line 3: `[plugins.p2]`: there is no plugin 'p2' (yet)"
    assert len(file.strangers) == 21
    assert file.strangers[-1] == "line 22: that and 9978 more are for plugins that are not there either"
    file.compare([f"p{number}" for number in range(10_000)])
    assert file.strangers == []


def test_the_line_of_a_section_is_found_however_it_is_written(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(
        "# [plugins.b]\nplugins.a.enabled = true\n[plugins.'b']\n[ plugins . \"c.d\".grants]\n[plugins.e]\n"
    )
    file = config.ConfigFile(path)
    assert file.refresh()
    file.compare([])
    assert [said.partition(":")[0] for said in file.strangers] == ["line 2", "line 3", "line 4", "line 5"]
