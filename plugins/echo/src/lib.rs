//! The smallest plugin: `>hello` answers with what was typed.

wit_bindgen::generate!({ world: "plugin", path: "../../wit/record" });

use exports::swift::launcher::runner::{ActionItem, Guest};

const TRIGGER: &str = ">";

struct Echo;

impl Guest for Echo {
    fn get_trigger() -> String {
        TRIGGER.into()
    }

    fn handle(input: String) -> Vec<ActionItem> {
        let typed = input.strip_prefix(TRIGGER).unwrap_or(&input).trim();
        vec![ActionItem { name: ["You typed: ", typed].concat(), exec: String::new(), keywords: TRIGGER.into() }]
    }
}

export!(Echo);
