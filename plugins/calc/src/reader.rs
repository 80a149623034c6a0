//! From what was typed to what fend is to calculate.

use crate::emit::{Emitted, emit};
use crate::functions;
use crate::lexer::{self, Lexed, Token};
use crate::locale::DecimalSign;
use crate::magnitude;
use crate::parser::{Parsed, Slash, parse};
use crate::print::print;
use crate::refusal::Refusal;

pub struct Reading {
    pub emitted: Emitted,
    /// How it was read, where another reading is common.
    pub noted: Option<String>,
    /// Whether texts or dates take part, in which a point is no decimal sign.
    pub has_text: bool,
    /// Whether something in it rounds: a function, or a wish for so many places.
    pub rounds: bool,
}

/// The readings of an expression: the first that can be calculated counts.
pub fn read(expression: &str, sign: DecimalSign) -> Result<Vec<Reading>, Refusal> {
    let lexed = lexer::lex(asked(expression), sign)?;
    if lexed.tokens.is_empty() {
        return Err(Refusal::Nothing);
    }
    let first = parse(&lexed.tokens, Slash::InOrder)?;
    let mut readings = vec![reading(&first, &lexed, sign)?];
    if first.slash_matters {
        let second = parse(&lexed.tokens, Slash::UnitFirst)?;
        readings.push(reading(&second, &lexed, sign)?);
    }
    Ok(readings)
}

/// Without the signs that ask for the result, before it and behind.
fn asked(expression: &str) -> &str {
    let asks = |c: char| c.is_whitespace() || matches!(c, '=' | '＝');
    expression.trim_start_matches(asks).trim_end_matches(|c: char| asks(c) || matches!(c, '?' | '？'))
}

fn reading(parsed: &Parsed, lexed: &Lexed, sign: DecimalSign) -> Result<Reading, Refusal> {
    magnitude::check(&parsed.expr)?;
    let has = |kind: fn(&Token) -> bool| lexed.tokens.iter().any(kind);
    Ok(Reading {
        emitted: emit(&parsed.expr)?,
        noted: (parsed.noted || lexed.noted).then(|| print(&parsed.expr, sign)),
        has_text: has(|token| matches!(token, Token::Raw(_))),
        rounds: has(|token| {
            matches!(token, Token::Name(name)
            if functions::is_known(name) || matches!(name.as_str(), "dp" | "sf"))
        }),
    })
}
