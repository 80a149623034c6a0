//! A plugin as others build them, with Rust's whole standard library on WASI. It tries what such a plugin may try and
//! answers with what it saw: its input, the environment, the root directory and the clock.

wit_bindgen::generate!({ world: "plugin", path: "../../../../wit/record" });

use std::time::SystemTime;
use std::{env, fs};

use exports::swift::launcher::runner::{ActionItem, Guest};

const TRIGGER: &str = "w>";

struct WasiEcho;

fn root() -> String {
    match fs::read_dir("/") {
        Ok(entries) => format!("fs: {} entries", entries.count()),
        Err(error) => format!("fs: {error}"),
    }
}

fn clock() -> String {
    match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        Ok(now) => format!("clock: {} s", now.as_secs()),
        Err(error) => format!("clock: {error}"),
    }
}

impl Guest for WasiEcho {
    fn get_trigger() -> String {
        TRIGGER.into()
    }

    fn handle(input: String) -> Vec<ActionItem> {
        let typed = input.strip_prefix(TRIGGER).unwrap_or(&input);
        println!("stdout: {typed}");
        eprintln!("stderr: {typed}");

        let mut names = vec![format!("input: {typed}"), root(), clock()];
        // Not `vars`, which panics at what isn't UTF-8.
        names.extend(env::vars_os().map(|(name, value)| format!("env {}={}", name.display(), value.display())));
        let item = |name| ActionItem { name, exec: String::new(), keywords: TRIGGER.into() };
        names.into_iter().map(item).collect()
    }
}

export!(WasiEcho);
