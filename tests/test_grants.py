"""What of the grants in config.toml is given, what is not, and that a granted folder stays the one that was granted."""

from __future__ import annotations

import itertools
import shutil
import sys
from pathlib import Path

import pytest
from daemons import GUESTS, eventually

import swiftd
from swiftd.config import Config, GrantSettings, PluginSettings
from swiftd.grants import Grantor, expand, lacking
from swiftd.ground import Ground


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("documents", ".config/swift/plugins", ".cache/swift"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path


def given(home, **settings):
    """What is read and written, and the problems."""
    own = [home / ".config" / "swift", home / ".cache" / "swift"]
    grants, problems = expand(GrantSettings(**settings), Ground(own))
    return [guest for guest, _ in grants.read], [guest for guest, _ in grants.write], problems


def test_nothing_is_given_by_default(home):
    assert given(home) == ([], [], [])


def test_paths_are_expanded(home, monkeypatch):
    monkeypatch.setenv("XDG_DOCUMENTS_DIR", str(home / "documents"))
    read, write, problems = given(home, read=["~/documents"], write=["$XDG_DOCUMENTS_DIR"])
    assert (read, write) == ([], [str(home / "documents")])
    assert "part of what is granted for writing" in problems[0]
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    assert given(home, read=["$XDG_CONFIG_HOME"])[0] == [str(home / ".config")]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("documents", "from the root"),
        ("$XDG_NO_SUCH_DIR/x", "is not set"),
        ("/" + "x" * 300, "not given"),
        ("~/.config/swift", "hand over"),
        ("~/.config/swift/plugins", "hand over"),
        ("~/.cache/swift", "hand over"),
        ("~/link", "hand over"),
    ],
)
def test_what_cannot_be_given_is_reported_and_the_rest_is_given(home, text, reason):
    (home / "file").write_text("")
    (home / "link").symlink_to(".config/swift")
    read, _, problems = given(home, read=[text, "~/documents"])
    assert read == [str(home / "documents")]
    assert len(problems) == 1
    assert "grants.read" in problems[0]
    assert reason in problems[0]


@pytest.mark.parametrize(
    ("name", "reason"), [("nowhere", "there is no"), ("file", "not a folder"), ("file/x", "not a directory")]
)
def test_a_folder_that_is_not_there_is_given_and_reported_until_it_is(home, name, reason):
    (home / "file").write_text("")
    folder = home / name
    grants, problems = expand(GrantSettings(read=[f"~/{name}"]), Ground([]))
    assert (grants.read, problems) == (((str(folder), str(folder)),), [])
    (problem,) = lacking(grants)
    assert problem.startswith("grants.read: ")
    assert str(folder) in problem
    assert reason in problem
    (home / "file").unlink()
    folder.mkdir(parents=True)
    assert lacking(grants) == []
    folder.rmdir()
    folder.symlink_to(home)
    assert lacking(grants) == [f"grants.read: {folder} leads elsewhere than when it was granted"]


def test_what_is_not_there_can_t_be_swiftd_s_own_either(home):
    own = home / "later" / "swift"
    assert expand(GrantSettings(write=["~/later"], read=["~/later/swift"]), Ground([own]))[0].write == ()
    assert expand(GrantSettings(read=["~/later/swift/plugins"]), Ground([own]))[0].read == ()


def test_writing_is_not_given_to_what_holds_swiftd_s_own_folders_but_reading_is_with_a_warning(home):
    read, write, problems = given(home, read=["~"], write=["~/.config"])
    assert (read, write) == ([str(home)], [])
    assert sum("hand over" in problem for problem in problems) == 1
    assert sum("includes swiftd's own" in problem for problem in problems) == 2


# ---- what would decide over swiftd, or be run -------------------------------------------------------------------


def refused(own, write, files=()):
    """Why writing a folder is not given."""
    grants, problems = expand(GrantSettings(write=[str(write)]), Ground(own, files))
    assert grants.write == ()
    (problem,) = problems
    return problem


def is_given(own, write, files=()):
    return expand(GrantSettings(write=[str(write)]), Ground(own, files))[0].write != ()


@pytest.fixture
def dotfiles(home):
    """Where the user keeps his configuration in truth."""
    (home / "dotfiles" / "swift").mkdir(parents=True)
    (home / "dotfiles" / "other").mkdir()
    (home / "hops").mkdir()
    return home / "dotfiles"


def linked_file(home, dotfiles):
    (dotfiles / "swift" / "config.toml").write_text("")
    (home / ".config/swift/config.toml").symlink_to("../../dotfiles/swift/config.toml")


def linked_file_in_two_steps(home, dotfiles):
    (dotfiles / "swift" / "config.toml").write_text("")
    (home / "hops" / "hop").symlink_to(dotfiles / "swift" / "config.toml")
    (home / ".config/swift/config.toml").symlink_to("../../hops/hop")


def linked_file_through_a_linked_folder(home, dotfiles):
    (dotfiles / "swift" / "config.toml").write_text("")
    (home / "hops" / "hop").symlink_to("../dotfiles/swift")
    (home / ".config/swift/config.toml").symlink_to("../../hops/hop/config.toml")


def linked_folder(home, dotfiles):
    (home / ".config/swift/plugins").rmdir()
    (home / ".config/swift").rmdir()
    (home / ".config/swift").symlink_to("../hops/hop")
    (home / "hops" / "hop").symlink_to("../dotfiles/swift")


def linked_folder_above(home, dotfiles):
    (home / ".config").rename(home / "hops" / "config")
    (home / ".config").symlink_to("hops/config")
    (home / "hops" / "config" / "swift").rename(dotfiles / "moved")
    (home / "hops" / "config" / "swift").symlink_to("../../dotfiles/moved")


def linked_to_nothing_yet(home, dotfiles):
    (home / "hops" / "hop").symlink_to("../dotfiles/swift/later.toml")
    (home / ".config/swift/config.toml").symlink_to(home / "hops/hop")


ARRANGEMENTS = [
    linked_file,
    linked_file_in_two_steps,
    linked_file_through_a_linked_folder,
    linked_folder,
    linked_folder_above,
    linked_to_nothing_yet,
]


@pytest.mark.parametrize("arrange", ARRANGEMENTS)
def test_where_the_configuration_leads_is_not_to_be_written(home, dotfiles, arrange):
    arrange(home, dotfiles)
    own = [home / ".config/swift", home / ".config/swift/config.toml"]
    assert "hand over" in refused(own, dotfiles)
    if (dotfiles / "swift" / "config.toml").exists():
        assert "hand over" in refused(own, dotfiles / "swift")
    assert is_given(own, dotfiles / "other")
    if list((home / "hops").iterdir()):
        problem = refused(own, home / "hops")
        assert f"{home / 'hops'}/" in problem
        assert "decides where swiftd's own" in problem
    else:
        assert is_given(own, home / "hops")


def test_of_a_linked_configuration_the_file_is_not_to_be_read_and_its_folder_with_a_warning(home, dotfiles):
    linked_file_in_two_steps(home, dotfiles)
    ground = Ground([home / ".config/swift", home / ".config/swift/config.toml"])
    grants, problems = expand(GrantSettings(read=["~/dotfiles", "~/dotfiles/swift/config.toml"]), ground)
    assert [guest for guest, _ in grants.read] == [str(dotfiles)]
    assert "includes swiftd's own" in problems[0]
    assert "would hand over" in problems[1]


@pytest.mark.parametrize("hops", [1, 2, 3])
def test_where_a_plugin_s_file_leads_is_not_to_be_written(home, hops):
    folders = [home / ".config/swift/plugins", *(home / f"hop-{number}" for number in range(hops))]
    for before, folder in itertools.pairwise(folders):
        folder.mkdir()
        (before / "one.wasm").symlink_to(folder / "one.wasm")
    (folders[-1] / "one.wasm").write_text("")
    files = [folders[0] / "one.wasm"]
    for folder in folders[1:]:
        assert f"{folder}/one.wasm, which decides what the plugin one.wasm is" in refused([], folder, files)
        (folder / "data").mkdir()
        assert is_given([], folder / "data", files)
    (home / "mine.wasm").write_text("")
    assert is_given([], home / "documents", [home / "mine.wasm"])


@pytest.mark.parametrize(
    "place",
    [
        *(
            "~",
            "/",
            "~/.config",
            "~/.config/autostart",
            "~/.config/systemd/user",
            "~/.config/systemd",
            "~/.local/share",
        ),
        *("~/.local/share/applications", "~/.local/share/systemd/user", "~/.local", "~/.local/bin", "~/.ssh", "~/bin"),
        *("~/.bashrc", "~/.config/environment.d", "~/.local/share/dbus-1/services", "$XDG_CONFIG_HOME"),
        *("$XDG_DATA_HOME/applications", "~/documents/../.ssh", "~/.config/plasma-workspace/env"),
    ],
)
def test_what_is_run_outside_of_the_sandbox_is_not_to_be_written(home, monkeypatch, place):
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert "a plugin could change" in refused([], place)
    assert expand(GrantSettings(read=[place]), Ground([]))[0].read != ()


@pytest.mark.parametrize(
    "place", ["~/.config/todo", "~/.local/share/notes", "~/documents", "~/.local/state/x", "/tmp/x"]
)
def test_any_other_folder_may_be_written(home, place):
    assert is_given([], place)


def test_where_programs_are_looked_for_and_swiftd_s_own_code_are_not_to_be_written(home, monkeypatch):
    (home / "real").mkdir()
    (home / "tools").symlink_to("real")
    monkeypatch.setenv("PATH", f"/usr/bin:relative::{home}:{home / 'tools'}")
    assert "decides which programs are run" in refused([], home / "real")
    assert "decides which programs are run" in refused([], home)
    assert is_given([], home / "documents")
    for folder in (
        sys.prefix,
        Path(sys.prefix) / "lib",
        Path(swiftd.__file__).parent,
        Path(swiftd.__file__).parents[1],
    ):
        assert "decides which programs are run" in refused([], folder)


# ---- links that a plugin could have made ------------------------------------------------------------------------


@pytest.fixture
def docs(home):
    """A folder that some plugin may write; what else there is of the user's."""
    (home / "docs" / "work").mkdir(parents=True)
    (home / "private" / "deep").mkdir(parents=True)
    (home / "mine").symlink_to("docs")
    return home / "docs"


def judged(kind, path, **writers):
    """Where the real folder is that is given, or why it is not."""
    written = [(name, Path(folder)) for name, folder in writers.items()]
    grants, problems = expand(GrantSettings(**{kind: [str(path)]}), Ground([], (), written))
    given = [real for _, real in grants.read + grants.write]
    assert len(given) + len(problems) == 1
    return given[0] if given else problems[0]


@pytest.mark.parametrize("kind", ["read", "write"])
def test_a_link_in_what_a_plugin_may_write_is_not_followed(home, docs, kind):
    (docs / "work").rmdir()
    (docs / "work").symlink_to("../private")
    said = judged(kind, docs / "work", writer=docs)
    assert f"leads through the link {docs}/work, which writer could have made, as it may write {docs}" in said
    assert f"name {home}/private itself" in said
    assert judged(kind, docs / "work") == judged(kind, home / "private") == str(home / "private")
    assert judged(kind, docs / "work", writer=home / "mine") == said  # by another name of the same
    assert judged(kind, docs / "work", writer=docs / "work") == str(home / "private")  # it can't make that one itself
    assert judged(kind, home / "mine" / "work", writer=docs) == said.replace("docs/work' is", "mine/work' is")


@pytest.mark.parametrize("kind", ["read", "write"])
@pytest.mark.parametrize(
    ("link", "target", "path"),
    [
        ("link", "../private", "docs/link/deep"),
        ("link", "../private", "docs/link/deep/not/there"),
        ("link", "../private", "docs/work/../link/deep"),
        ("link", "../private", "docs/link/.."),
        ("link", "hop", "docs/link"),
        ("link", "/", "docs/link/etc"),
        ("work/link", "../../private", "docs/work/link"),
        ("link", "work", "docs/link"),
        ("link", "nowhere", "docs/link/x"),
        ("link", "link", "docs/link"),
        ("link", "../../{home}/private", "out"),
        ("link", "..", "out/private"),
        ("link", "../private", "mine/link"),
    ],
)
def test_wherever_in_the_path_it_is(home, docs, kind, link, target, path):
    (docs / "hop").symlink_to("../private")
    (docs / link).symlink_to(target.format(home=home.name))
    (home / "out").symlink_to("docs/link")
    assert "which writer could have made" in judged(kind, home / path, writer=docs, other=home / "private" / "x")


@pytest.mark.parametrize("kind", ["read", "write"])
def test_what_is_reached_without_such_a_link_is_given(home, docs, kind):
    writers = {"writer": docs, "other": home / "nowhere"}
    assert judged(kind, docs / "work", **writers) == str(docs / "work")
    assert judged(kind, home / "mine" / "work", **writers) == str(docs / "work")
    assert judged(kind, docs / "later" / "x", **writers) == str(docs / "later" / "x")
    assert judged(kind, docs / "work" / ".." / ".." / "private", **writers) == str(home / "private")
    assert judged(kind, home / "mine", **writers) == str(docs)


def test_a_plugin_s_own_writing_counts_as_well_as_that_of_others(home, docs):
    (docs / "work").rmdir()
    (docs / "work").symlink_to("../private")
    config = Config(plugins={"one": PluginSettings(grants=GrantSettings(write=["~/docs", "~/docs/work"]))})
    grants, problems = Grantor([]).given(config, {"one": None})["one"]
    assert [guest for guest, _ in grants.write] == [str(docs)]
    assert "which one could have made" in problems[0]


@pytest.mark.parametrize("writer", [{"enabled": False}, {}])
def test_a_plugin_that_is_off_or_away_may_have_made_it_before(home, docs, writer):
    (docs / "work").rmdir()
    (docs / "work").symlink_to("../private")
    settings = PluginSettings(grants=GrantSettings(write=["~/docs"]), **writer)
    reader = PluginSettings(grants=GrantSettings(read=["~/docs/work"]))
    given = Grantor([]).given(Config(plugins={"reader": reader, "writer": settings}), {"reader": None})
    assert given["reader"][0].read == ()


# ---- in a daemon ------------------------------------------------------------------------------------------------


PAIR = """
[plugins.files-create]
grants = {{ write = ["{home}/docs"] }}
[plugins.files-read]
grants = {{ read = ["{home}/docs/work"] }}
"""


@pytest.fixture
def pair(idle_daemon):
    """Two plugins: one may write what the other reads a part of. And a folder of which neither knows."""
    for folder, text in (("docs/work", "work"), ("private", "secret")):
        (idle_daemon.home / folder).mkdir(parents=True)
        (idle_daemon.home / folder / "file").write_text(text)
    for name in ("files-read", "files-create"):
        idle_daemon.install(GUESTS / f"{name}.wat")
    idle_daemon.config.write_text(PAIR.format(home=idle_daemon.home))
    return idle_daemon


def change(file, before, after):
    file.write_text(file.read_text().replace(before, after))


def plant(home):
    """What the writer may do."""
    (home / "docs/work").rename(home / "docs/away")
    (home / "docs/work").symlink_to("../private")


@pytest.mark.parametrize("how", ["restart", "changed section", "other section", "reload", "new file", "switched"])
def test_a_planted_link_gives_nothing_at_the_next_load(pair, how):
    client = pair.start().client()
    assert client.settled("files-create")["state"] == "ready"
    assert client.names("files-read:") == ["work"]
    plant(pair.home)
    assert client.names("files-read:") == ["none"]
    match how:
        case "restart":
            pair.stop()
            client = pair.start().client()
        case "changed section":
            change(pair.config, "[plugins.files-read]", "[plugins.files-read]\nmax_items = 5")
        case "other section":
            change(pair.config, "[plugins.files-create]", "[plugins.files-create]\nmax_items = 5")
        case "new file":
            pair.install((GUESTS / "files-read.wat").read_text() + "\n;; new", "files-read")
        case "switched":
            assert client.ask("disable", plugin="files-read")["type"] == "ok"
            assert client.ask("enable", plugin="files-read")["type"] == "ok"
    assert client.ask("reload")["type"] == "ok"
    assert client.names("files-read:") == ["none"]
    (problem,) = [problem for problem in client.settled("files-read")["problems"] if "could have made" in problem]
    assert "files-create" in problem
    (pair.home / "docs/work").unlink()
    (pair.home / "docs/away").rename(pair.home / "docs/work")
    assert client.ask("reload")["type"] == "ok"
    assert client.names("files-read:") == ["work"]
    assert client.plugin("files-read")["problems"] == []


def test_a_link_that_is_planted_where_nothing_was_gives_nothing(pair):
    shutil.rmtree(pair.home / "docs/work")
    client = pair.start().client()
    assert client.settled("files-read")["state"] == "ready"
    assert client.names("files-read:") == ["none"]
    (pair.home / "docs/work").symlink_to("../private")
    assert client.names("files-read:") == ["none"]
    client.ask("reload")
    assert client.names("files-read:") == ["none"]
    (pair.home / "docs/work").unlink()
    (pair.home / "docs/work").mkdir()
    (pair.home / "docs/work/file").write_text("late")
    client.ask("reload")
    assert client.names("files-read:") == ["late"]


def test_a_section_that_comes_to_write_what_another_is_led_through_ends_that(pair):
    pair.config.write_text(f'[plugins.files-read]\ngrants = {{ read = ["{pair.home}/docs/link"] }}\n')
    (pair.home / "docs/link").symlink_to("../private")
    client = pair.start().client()
    client.settled("files-read")
    assert client.names("files-read:") == ["secret"]  # the user's own link
    with pair.config.open("a") as file:
        file.write(f'[plugins.files-create]\ngrants = {{ write = ["{pair.home}/docs"] }}\n')
    assert client.ask("reload")["type"] == "ok"
    assert client.names("files-read:") == ["none"]
    assert "files-create could have made" in client.plugin("files-read")["problems"][0]


def test_a_configuration_that_becomes_a_link_into_what_is_written_ends_that_grant(pair):
    client = pair.start().client()
    assert client.settled("files-create")["problems"] == []
    pair.config.rename(pair.home / "docs/config.toml")
    pair.config.symlink_to("docs/config.toml")
    assert client.ask("reload")["type"] == "ok"
    eventually(lambda: "hand over" in " ".join(client.settled("files-create")["problems"]))
    assert client.names("files-create:") == ["none"]


def test_a_granted_folder_that_becomes_a_link_is_not_what_was_granted(idle_daemon):
    """A plugin that may write beside it could have made that link."""
    box, secret = idle_daemon.home / "box", idle_daemon.home / "secret"
    for folder, text in ((box, "text"), (secret, "secret")):
        folder.mkdir()
        (folder / "file").write_text(text)
    idle_daemon.install(GUESTS / "files-read.wat")
    idle_daemon.config.write_text(f'[plugins.files-read]\ngrants = {{ read = ["{box}"] }}\n')
    client = idle_daemon.start().client()
    assert client.settled("files-read")["state"] == "ready"
    assert client.names("files-read:") == ["text"]
    box.rename(idle_daemon.home / "old")
    Path(box).symlink_to(secret)
    assert client.names("files-read:") == ["none"]
    warnings = [line["text"] for line in client.ask("logs", plugin="files-read")["lines"]]
    assert any("not what it was" in warning for warning in warnings)
    client.ask("reload")
    eventually(lambda: client.names("files-read:") == ["none"])
