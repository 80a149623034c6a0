//! From an expression to the row that answers it.

use fend_core::Context;

use crate::budget::Budget;

const HINT: &str = "Type a calculation, such as 2+2*3 or 5 km to miles";
const TOO_SLOW: &str = "too big or too slow to calculate";

/// fend's parser recurses without asking whether it may: what is longer, or nested deeper, could overflow the stack.
const MAX_EXPRESSION: usize = 1000;
const MAX_PARENTHESES: usize = 200;

/// Characters of a row; longer ones are cut.
const MAX_NAME: usize = 500;

/// Characters of the expression that are repeated in the row, so that a long one leaves room for its result.
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

pub fn to(expression: &str) -> Answer {
    let expression = expression.trim();
    if expression.is_empty() {
        return Answer::inform(HINT);
    }
    let shown = one_line(expression, MAX_SHOWN_EXPRESSION);
    match calculate(expression) {
        Ok(result) if result.is_empty() => Answer::inform(HINT),
        Ok(result) => Answer {
            name: one_line(&[&shown, " = ", &result].concat(), MAX_NAME),
            exec: copy(result.strip_prefix("approx. ").unwrap_or(&result)),
        },
        Err(message) => Answer::inform(&[&shown, ": ", &message].concat()),
    }
}

fn calculate(expression: &str) -> Result<String, String> {
    if expression.len() > MAX_EXPRESSION || expression.matches(['(', ')']).count() > MAX_PARENTHESES {
        return Err(TOO_SLOW.into());
    }
    let budget = Budget::new();
    if let Some(outcome) = evaluate(expression, &budget) {
        return outcome;
    }
    if budget.is_hopeless() {
        return Err(TOO_SLOW.into());
    }
    // What takes long with a fraction such as 1.0005^365 is to find out whether its decimals ever end. Rounded to ten
    // of them, as fend does with those that don't, it takes no time.
    let rounded = ["approximately (", expression, ")"].concat();
    evaluate(&rounded, &Budget::new()).unwrap_or_else(|| Err(TOO_SLOW.into()))
}

/// Nothing if the budget didn't suffice.
fn evaluate(expression: &str, budget: &Budget) -> Option<Result<String, String>> {
    // A new context has no random numbers, no date and no exchange rates, and fend says so when asked for them.
    let outcome = fend_core::evaluate_with_interrupt(expression, &mut Context::new(), budget);
    (!budget.is_exceeded()).then(|| Ok(outcome?.get_main_result().trim().into()))
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
    let mut chars = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut line: String = chars.by_ref().take(max).collect();
    if chars.next().is_some() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(expression: &str, name: &str, copied: &str) {
        let exec = ["swiftctl copy -- ", copied].concat();
        assert_eq!(to(expression), Answer { name: name.into(), exec });
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
            assert_eq!(to(expression), Answer::inform(HINT));
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
            assert_eq!(to(expression), Answer::inform(message));
        }
    }

    #[test]
    fn shows_one_line_of_sensible_length_and_copies_all() {
        let long = to("2000!");
        assert_eq!(long.name.chars().count(), MAX_NAME + 1);
        assert!(long.name.ends_with('…') && long.exec.len() > 5000);
        check(r#""a\nb""#, r#""a\nb" = a b"#, "'a\nb'");
        assert_eq!(one_line("a\nb\u{1b}c", 3), "a b…");
    }

    #[test]
    fn does_not_copy_what_is_too_long_for_a_command() {
        let quotes = to(r#"a = "''''''''"; b = a+a+a+a; c = b+b+b+b; d = c+c+c+c; e = d+d+d+d; e+e+e+e+e+e+e"#);
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
            let answer = to(expression);
            assert!(answer.name.ends_with(TOO_SLOW), "{answer:?}");
            assert_eq!(answer.exec, "");
        }
    }
}
