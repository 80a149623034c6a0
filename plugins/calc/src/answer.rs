//! From an expression to the row that answers it.

use fend_core::{Context, CustomUnitAttribute};

use crate::budget::Budget;
use crate::locale::DecimalSign;
use crate::reader::{self, Reading};
use crate::refusal::Refusal;
use crate::signs;

/// Longer ones nobody types, and each recursion over one has to fit the stack.
const MAX_EXPRESSION: usize = 1000;
const MAX_PARENTHESES: usize = 200;

/// Characters of a row; longer ones are cut.
const MAX_NAME: usize = 500;

/// Characters of the expression that are repeated in the row, and of how it was read, so that long ones leave room
/// for the result.
const MAX_SHOWN_EXPRESSION: usize = 200;

/// Bytes of a command: far below Linux's 128 KiB for one argument. The budget keeps results at 32 KiB, but quoting
/// quadruples apostrophes. What needs more is shown without a command: half of it in the clipboard would be worse.
const MAX_EXEC: usize = 48 << 10;

#[derive(Debug, PartialEq)]
pub struct Answer {
    pub name: String,
    pub exec: String,
}

impl Answer {
    fn inform(name: &str) -> Self {
        Self { name: one_line(name, MAX_NAME), exec: String::new() }
    }
}

/// A result, and how the expression was read if another reading is common.
struct Outcome {
    result: String,
    noted: Option<String>,
}

pub fn to(expression: &str, sign: DecimalSign) -> Answer {
    let expression = expression.trim();
    let shown = one_line(expression, MAX_SHOWN_EXPRESSION);
    match calculate(expression, sign) {
        Ok(outcome) => Answer {
            name: name(&shown, &outcome),
            exec: copy(outcome.result.strip_prefix("approx. ").unwrap_or(&outcome.result)),
        },
        Err(Refusal::Nothing) => Answer::inform(Refusal::Nothing.message()),
        Err(refusal) => Answer::inform(&[&shown, ": ", refusal.message()].concat()),
    }
}

/// `1,5*2 = 3  (1.5 × 2)`: how it was read stands behind, and is not cut off by a long result.
fn name(shown: &str, outcome: &Outcome) -> String {
    let note = match &outcome.noted {
        // 1,234 = 1234 says itself how it was read.
        Some(noted) if *noted != outcome.result => ["  (", &one_line(noted, MAX_SHOWN_EXPRESSION), ")"].concat(),
        _ => String::new(),
    };
    let room = MAX_NAME - note.chars().count();
    // The `…` of a result that is cut counts too, where something follows.
    let row = one_line(&[shown, " = ", &outcome.result].concat(), room - usize::from(!note.is_empty()));
    [row, note].concat()
}

fn calculate(expression: &str, sign: DecimalSign) -> Result<Outcome, Refusal> {
    if expression.len() > MAX_EXPRESSION || expression.matches(['(', ')', '[', ']', '{', '}']).count() > MAX_PARENTHESES
    {
        return Err(Refusal::TooBig);
    }
    let mut first_refusal = None;
    for reading in reader::read(expression, sign)? {
        match result(&reading) {
            Ok(result) if result.is_empty() => return Err(Refusal::Nothing),
            Ok(result) => {
                let result = if reading.has_text { result } else { with_sign(&result, sign) };
                return Ok(Outcome { result, noted: reading.noted });
            }
            Err(Refusal::TooBig) => return Err(Refusal::TooBig),
            Err(refusal) => drop(first_refusal.get_or_insert(refusal)),
        }
    }
    Err(first_refusal.unwrap_or(Refusal::Nothing))
}

fn result(reading: &Reading) -> Result<String, Refusal> {
    let result = rounded_if_long(reading)?;
    let is_nothing = result == "approx. 0" || result.starts_with("approx. 0 ");
    if is_nothing && !reading.rounds {
        // A value with nothing in its first ten decimals, such as 1/7^20.
        let text = ["(", &reading.emitted.text, ") to 10 sf"].concat();
        match evaluate(&text, reading, &Budget::new()) {
            Some(Ok(precise)) => return Ok(precise),
            Some(Err(_)) => {}
            None => return Err(Refusal::TooBig),
        }
    }
    Ok(result)
}

fn rounded_if_long(reading: &Reading) -> Result<String, Refusal> {
    let budget = Budget::new();
    if let Some(outcome) = evaluate(&reading.emitted.text, reading, &budget) {
        return outcome;
    }
    if budget.is_hopeless() {
        return Err(Refusal::TooBig);
    }
    // What takes long with a fraction such as 1.0005^365 is to find out whether its decimals ever end. Rounded to ten
    // of them, as fend does with those that don't, it takes no time.
    let rounded = ["approximately (", &reading.emitted.text, ")"].concat();
    evaluate(&rounded, reading, &Budget::new()).unwrap_or(Err(Refusal::TooBig))
}

/// Nothing if the budget didn't suffice.
fn evaluate(text: &str, reading: &Reading, budget: &Budget) -> Option<Result<String, Refusal>> {
    // A new context has no random numbers, no date and no exchange rates, and fend says so when asked for them.
    let mut context = Context::new();
    for currency in &reading.emitted.currencies {
        context.define_custom_unit_v1(currency, currency, "!", &CustomUnitAttribute::None);
    }
    let outcome = fend_core::evaluate_with_interrupt(text, &mut context, budget);
    if budget.is_exceeded() {
        return None;
    }
    Some(match outcome {
        Ok(result) => Ok(result.get_main_result().trim().into()),
        Err(_) if reading.emitted.currencies.len() > 1 => {
            Err(Refusal::Unclear("exchange rates are not available".into()))
        }
        Err(message) => Err(Refusal::Unclear(message)),
    })
}

/// A result with the locale's decimal sign.
fn with_sign(result: &str, sign: DecimalSign) -> String {
    if sign == DecimalSign::Point {
        return result.into();
    }
    let chars: Vec<char> = result.chars().collect();
    let is_decimal = |at: usize| chars[at] == '.' && chars.get(at + 1).is_some_and(char::is_ascii_alphanumeric);
    (0..chars.len()).map(|at| if is_decimal(at) { ',' } else { chars[at] }).collect()
}

/// The command that puts a text into the clipboard; empty for one that is too long.
fn copy(text: &str) -> String {
    let command = ["swiftctl copy -- ", &quote(text)].concat();
    if command.len() > MAX_EXEC { String::new() } else { command }
}

/// As one word of a POSIX shell.
fn quote(text: &str) -> String {
    ["'", &text.replace('\'', r"'\''"), "'"].concat()
}

/// On one line, of at most `max` characters and a `…`.
fn one_line(text: &str, max: usize) -> String {
    let blank = |c: char| c.is_control() || c.is_whitespace() || signs::is_invisible(c);
    let mut chars = text.chars().map(|c| if blank(c) { ' ' } else { c });
    let mut line: String = chars.by_ref().take(max).collect();
    if chars.next().is_some() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(expression: &str) -> Answer {
        to(expression, DecimalSign::Point)
    }

    #[track_caller]
    fn check(expression: &str, name: &str, copied: &str) {
        let exec = ["swiftctl copy -- ", copied].concat();
        assert_eq!(answer(expression), Answer { name: name.into(), exec });
    }

    #[test]
    fn calculates() {
        check("2+2*3", "2+2*3 = 8", "'8'");
        check(" 20% of 50 ", "20% of 50 = 10", "'10'");
        check("2^70", "2^70 = 1180591620717411303424", "'1180591620717411303424'");
        check("20!", "20! = 2432902008176640000", "'2432902008176640000'");
        check("255 to hex", "255 to hex = ff", "'ff'");
    }

    #[test]
    fn copies_an_approximate_value_without_saying_so() {
        check("5 km to miles", "5 km to miles = approx. 3.1068559612 miles", "'3.1068559612 miles'");
        check("sqrt(2)", "sqrt(2) = approx. 1.4142135624", "'1.4142135624'");
    }

    #[test]
    fn quotes_for_a_shell() {
        assert_eq!(quote("it's $HOME"), r"'it'\''s $HOME'");
        check(r#""';reboot;'""#, r#""';reboot;'" = ';reboot;'"#, r"''\'';reboot;'\'''");
    }

    #[test]
    fn hints_when_there_is_nothing_to_calculate() {
        for expression in ["", "  ", "# a comment"] {
            assert_eq!(answer(expression), Answer::inform(Refusal::Nothing.message()));
        }
    }

    #[test]
    fn says_what_is_wrong() {
        for message in [
            "1/0: division by zero",
            "foo: unknown identifier 'foo'",
            "roll d6: random numbers are not available",
            "5 USD to EUR: exchange rates are not available",
        ] {
            let (expression, _) = message.split_once(':').unwrap();
            assert_eq!(answer(expression), Answer::inform(message));
        }
    }

    #[test]
    fn shows_one_line_of_sensible_length_and_copies_all() {
        let long = answer("2000!");
        assert_eq!(long.name.chars().count(), MAX_NAME + 1);
        assert!(long.name.ends_with('…') && long.exec.len() > 5000);
        check(r#""a\nb""#, r#""a\nb" = a b"#, "'a\nb'");
        assert_eq!(one_line("a\nb\u{1b}c", 3), "a b…");
    }

    #[test]
    fn does_not_copy_what_is_too_long_for_a_command() {
        let quotes = answer(r#"a = "''''''''"; b = a+a+a+a; c = b+b+b+b; d = c+c+c+c; e = d+d+d+d; e+e+e+e+e+e+e"#);
        assert!(quotes.name.ends_with("''…"), "{}", quotes.name);
        assert_eq!(quotes.exec, "");
    }

    #[test]
    fn rounds_what_takes_too_long_exactly() {
        check("1.0005^365", "1.0005^365 = approx. 1.2001594107", "'1.2001594107'");
    }

    #[test]
    fn gives_up_in_time() {
        let nested = ["(".repeat(400), "1".into(), ")".repeat(400)].concat();
        let sum = ["1+".repeat(2000), "1".into()].concat();
        for expression in [
            "9999999!",
            "2^10000000",
            "1e1000000",
            "pi^100000",
            "5!!!!!!",
            "fibonacci 1000000",
            "50d50",
            "f = x: f x; f 1",
            &nested,
            &sum,
        ] {
            let answer = answer(expression);
            assert!(answer.name.ends_with(Refusal::TooBig.message()), "{answer:?}");
            assert_eq!(answer.exec, "");
        }
    }
}
