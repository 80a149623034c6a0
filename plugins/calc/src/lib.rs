//! A calculator: `=2+2*3`, `=5 km to miles`, `=20% of 50`. Choosing the answer copies it to the clipboard.
//!
//! What people write is read here, by rules that plugins/README.md lists, and calculated by fend, which gets it in a
//! form that has one reading only. As choosing copies the result, the rule above all others is: what has another
//! common reading is answered with how it was read, or refused. It is never guessed in silence.

mod answer;
mod budget;
#[cfg(test)]
mod cases;
mod emit;
mod functions;
mod lexer;
mod locale;
mod magnitude;
mod number;
mod parser;
mod print;
mod reader;
mod refusal;
mod signs;
mod syntax;
mod units;

wit_bindgen::generate!({
    inline: "package swift:calc; world calc { include swift:launcher/plugin; import wasi:cli/environment@0.2.0; }",
    path: ["../../wit/record", "wit"],
    generate_all,
});

use exports::swift::launcher::runner::{ActionItem, Guest};

const TRIGGER: &str = "=";

struct Calc;

impl Guest for Calc {
    fn get_trigger() -> String {
        TRIGGER.into()
    }

    fn handle(input: String) -> Vec<ActionItem> {
        // The full-width sign is what a Chinese, Japanese or Korean keyboard may write.
        let expression = input.strip_prefix(TRIGGER).or_else(|| input.strip_prefix('＝')).unwrap_or(&input);
        let answer = answer::to(expression, locale::decimal_sign());
        vec![ActionItem { name: answer.name, exec: answer.exec, keywords: TRIGGER.into() }]
    }
}

export!(Calc);
