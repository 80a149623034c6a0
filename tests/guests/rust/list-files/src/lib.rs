//! A plugin that lists the files of a folder which the user granted and named, each with a command that opens it.
//! `f/PATTERN` asks for those whose names contain PATTERN.

wit_bindgen::generate!({ world: "plugin", path: "../../../../wit/record" });

use std::fs::{self, DirEntry};
use std::io;
use std::path::Path;

use exports::swift::launcher::runner::{ActionItem, Guest};
use serde_json::Value;
use swift::launcher::host;

const TRIGGER: &str = "f/";

struct ListFiles;

/// The setting `folder`.
fn folder() -> Result<String, String> {
    let settings: Value = serde_json::from_str(&host::get_user_config())
        .map_err(|error| format!("the settings can't be read: {error}"))?;
    match settings.get("folder") {
        Some(Value::String(folder)) if Path::new(folder).is_absolute() => Ok(folder.clone()),
        Some(other) => Err(format!("expected an absolute path as the setting `folder`, found {other}")),
        None => Err("name a folder by the setting `folder`, and grant it by `grants.read`".into()),
    }
}

/// The names of a folder's files, sorted, and why some are missing, if so.
fn names(folder: &str) -> (Vec<String>, Option<io::Error>) {
    let mut names = Vec::new();
    let mut problem = None;
    match fs::read_dir(folder) {
        Ok(entries) => {
            for entry in entries {
                match entry.and_then(|entry| name(&entry)) {
                    Ok(name) => names.extend(name),
                    Err(error) => problem = Some(error),
                }
            }
        }
        Err(error) => problem = Some(error),
    }
    names.sort_unstable();
    (names, problem)
}

/// Nothing for what is itself a folder.
fn name(entry: &DirEntry) -> io::Result<Option<String>> {
    if entry.file_type()?.is_dir() {
        return Ok(None);
    }
    match entry.file_name().into_string() {
        Ok(name) => Ok(Some(name)),
        Err(name) => Err(io::Error::other(format!("{} is no UTF-8", name.display()))),
    }
}

fn open(folder: &str, name: &str) -> String {
    let path = [folder.trim_end_matches('/'), "/", name].concat();
    ["swiftctl open -- ", &quote(&path)].concat()
}

/// As one word of a POSIX shell.
fn quote(text: &str) -> String {
    ["'", &text.replace('\'', r"'\''"), "'"].concat()
}

fn item(name: String, exec: String) -> ActionItem {
    ActionItem { name, exec, keywords: TRIGGER.into() }
}

impl Guest for ListFiles {
    fn get_trigger() -> String {
        TRIGGER.into()
    }

    fn handle(input: String) -> Vec<ActionItem> {
        let pattern = input.strip_prefix(TRIGGER).unwrap_or(&input);
        let folder = match folder() {
            Ok(folder) => folder,
            Err(message) => return vec![item(message, String::new())],
        };
        let (names, problem) = names(&folder);
        let mut items: Vec<_> = names
            .into_iter()
            .filter(|name| name.contains(pattern))
            .map(|name| {
                let exec = open(&folder, &name);
                item(name, exec)
            })
            .collect();
        items.extend(problem.map(|error| item(format!("{error}: not all of {folder} is listed"), String::new())));
        items
    }
}

export!(ListFiles);
