//! A calculator: `=2+2*3`, `=5 km to miles`, `=20% of 50`. Choosing the answer copies it to the clipboard.

mod answer;
mod budget;

wit_bindgen::generate!({ world: "plugin", path: "../../wit/record" });

use exports::swift::launcher::runner::{ActionItem, Guest};

const TRIGGER: &str = "=";

struct Calc;

impl Guest for Calc {
    fn get_trigger() -> String {
        TRIGGER.into()
    }

    fn handle(input: String) -> Vec<ActionItem> {
        let answer = answer::to(input.strip_prefix(TRIGGER).unwrap_or(&input));
        vec![ActionItem { name: answer.name, exec: answer.exec, keywords: TRIGGER.into() }]
    }
}

export!(Calc);
