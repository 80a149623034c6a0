//! From characters to tokens.
//!
//! What a comma is depends on what is around it, so that is found out here: between the arguments of a function such as
//! min(1,5) it separates, unless semicolons do; elsewhere it belongs to a number.

use crate::functions;
use crate::locale::DecimalSign;
use crate::number;
use crate::refusal::{Refusal, unclear};
use crate::signs;

#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    Number(String),
    /// ½: numerator and denominator.
    Fraction(u8, u8),
    /// 1:30 or 1:30:15.
    Time(Vec<String>),
    Name(String),
    /// A raised number: ², ⁻¹.
    Raised(String),
    /// What is fend's alone: texts, dates, dice and numbers such as 2#101.
    Raw(String),
    Sign(&'static str),
}

pub struct Lexed {
    pub tokens: Vec<Token>,
    /// Whether a number has another common reading.
    pub noted: bool,
}

/// Longer ones first.
const SIGNS: [&str; 29] = [
    "<<", ">>", "<>", "<=", ">=", "==", "!=", "=>", "->", "**", "//", "+", "-", "*", "/", "^", "!", "%", "(", ")", ",",
    ";", "=", ":", "&", "|", "\\", "'", "\"",
];

pub fn lex(text: &str, sign: DecimalSign) -> Result<Lexed, Refusal> {
    let first = Lexer::new(text, sign).run()?;
    let certain = |sign| first.evidence.contains(&sign);
    if certain(sign) || !certain(sign.other()) {
        return Ok(Lexed { tokens: first.tokens, noted: first.noted });
    }
    // Another number tells what is what: in 1,234 + 1,5 both are decimal commas.
    let second = Lexer::new(text, sign.other()).run()?;
    let noted = first.noted || second.tokens != first.tokens;
    Ok(Lexed { tokens: second.tokens, noted })
}

struct Lexer {
    text: Vec<char>,
    at: usize,
    sign: DecimalSign,
    tokens: Vec<Token>,
    noted: bool,
    evidence: Vec<DecimalSign>,
    /// For each parenthesis that is open, whether a comma in it separates arguments.
    commas_separate: Vec<bool>,
}

impl Lexer {
    fn new(text: &str, sign: DecimalSign) -> Self {
        let text = signs::plain(text).chars().collect();
        Self { text, at: 0, sign, tokens: vec![], noted: false, evidence: vec![], commas_separate: vec![] }
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.text.get(self.at + ahead).copied()
    }

    fn digit(&self, ahead: usize) -> bool {
        self.peek(ahead).is_some_and(|c| c.is_ascii_digit())
    }

    fn starts_with(&self, sign: &str) -> bool {
        sign.chars().enumerate().all(|(ahead, c)| self.peek(ahead) == Some(c))
    }

    fn last(&self) -> Option<&Token> {
        self.tokens.last()
    }

    /// Takes characters while they are such ones.
    fn take(&mut self, fits: impl Fn(char) -> bool) -> String {
        let taken: String = self.text[self.at..].iter().take_while(|&&c| fits(c)).collect();
        self.at += taken.chars().count();
        taken
    }

    fn run(mut self) -> Result<Self, Refusal> {
        loop {
            self.take(char::is_whitespace);
            let Some(c) = self.peek(0) else { return Ok(self) };
            if c == '#' && self.peek(1).is_none_or(|next| matches!(next, ' ' | '!')) {
                // A comment, as fend has them.
                return Ok(self);
            }
            let token = self.token(c)?;
            self.tokens.push(token);
        }
    }

    fn token(&mut self, c: char) -> Result<Token, Refusal> {
        let comma_separates = self.commas_separate.last().copied().unwrap_or(false);
        if c.is_ascii_digit() || c == '.' && self.digit(1) || c == ',' && self.digit(1) && self.begins_decimals() {
            return self.number(comma_separates);
        }
        if let Some((numerator, denominator)) = signs::fraction(c) {
            self.at += 1;
            return Ok(Token::Fraction(numerator, denominator));
        }
        if signs::superscript(c).is_some() || c == '⁻' {
            let raised = self.take(|c| signs::superscript(c).is_some() || c == '⁻');
            return Ok(Token::Raised(raised.chars().map(|c| signs::superscript(c).unwrap_or('-')).collect()));
        }
        if c.is_alphabetic() || matches!(c, '_' | '°') {
            return Ok(self.name(c));
        }
        if crate::units::CURRENCY_SIGNS.contains(c) || matches!(c, '√' | '∛' | '‰') {
            self.at += 1;
            return Ok(Token::Name(c.into()));
        }
        if matches!(c, '"' | '\'') && !self.measures() {
            return self.text_literal(c);
        }
        if c == '@' {
            let date = self.take(|c| c == '@' || c == '-' || c.is_ascii_digit());
            return Ok(Token::Raw(date));
        }
        self.sign(c)
    }

    /// Whether a comma and the digits behind it are decimals without a whole part.
    fn begins_decimals(&self) -> bool {
        matches!(self.last(), None | Some(Token::Sign("(" | "+" | "-" | "*" | "/" | "^" | "=" | ";")))
            && !self.commas_separate.last().is_some_and(|&separates| separates)
    }

    /// Whether ' and " are feet and inches, as they are behind a number and where a unit is asked for.
    fn measures(&self) -> bool {
        match self.last() {
            Some(Token::Number(_) | Token::Fraction(..) | Token::Sign("->")) => true,
            Some(Token::Name(name)) => matches!(name.to_lowercase().as_str(), "to" | "in" | "as" | "into"),
            _ => false,
        }
    }

    fn number(&mut self, comma_separates: bool) -> Result<Token, Refusal> {
        if self.peek(0) == Some('0') && matches!(self.peek(1), Some('x' | 'X' | 'b' | 'B' | 'o' | 'O')) {
            let base = self.peek(1).map_or(' ', |c| c.to_ascii_lowercase());
            let radix = if base == 'x' { 16 } else { if base == 'b' { 2 } else { 8 } };
            if self.peek(2).is_some_and(|c| c.is_digit(radix)) {
                self.at += 2;
                let digits = self.take(|c| c.is_ascii_alphanumeric() || c == '_').replace('_', "");
                if !digits.chars().all(|c| c.is_digit(radix)) {
                    return unclear(format!("0{base}{digits} is not a number"));
                }
                return Ok(Token::Number(format!("0{base}{digits}")));
            }
        }
        if let Some(token) = self.time().or_else(|| self.dice()) {
            return Ok(token);
        }
        let reading = number::read(&self.text[self.at..], self.sign, comma_separates)?;
        self.at += reading.length;
        self.noted |= reading.noted;
        self.evidence.extend(reading.evidence);
        if self.peek(0) == Some('#') && self.peek(1).is_some_and(|c| c.is_ascii_alphanumeric()) {
            self.at += 1;
            let digits = self.take(|c| c.is_ascii_alphanumeric());
            return Ok(Token::Raw([&reading.text, "#", &digits].concat()));
        }
        Ok(Token::Number(reading.text))
    }

    /// Hours, minutes and maybe seconds.
    fn time(&mut self) -> Option<Token> {
        let rest: String = self.text[self.at..].iter().take_while(|c| c.is_ascii_digit() || **c == ':').collect();
        let parts: Vec<&str> = rest.split(':').collect();
        let (first, others) = parts.split_first()?;
        let fits = matches!(others.len(), 1 | 2) && (1..=4).contains(&first.len());
        if !fits || !others.iter().all(|part| part.len() == 2 && *part < "60") {
            return None;
        }
        self.at += rest.len();
        Some(Token::Time(parts.into_iter().map(Into::into).collect()))
    }

    /// 2d6, but not 1d12h, which are a day and twelve hours.
    fn dice(&mut self) -> Option<Token> {
        let rest: String = self.text[self.at..].iter().take_while(|c| c.is_ascii_alphanumeric()).collect();
        let (count, faces) = rest.split_once('d')?;
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
        if !is_number(count) || !is_number(faces) {
            return None;
        }
        self.at += rest.len();
        Some(Token::Raw(rest))
    }

    fn name(&mut self, first: char) -> Token {
        let after_number = matches!(self.last(), Some(Token::Number(_) | Token::Fraction(..) | Token::Time(_)));
        if first == '°' {
            self.at += 1;
            return Token::Name("°".into());
        }
        // 3x4 and 10 x 10 x 10 are products.
        if matches!(first, 'x' | 'X') && self.is_times() {
            self.at += 1;
            return Token::Sign("*");
        }
        let letters = self.take(|c| c.is_alphabetic() || c == '_');
        if letters == "percent" {
            return Token::Sign("%");
        }
        if letters == "approx" && self.peek(0) == Some('.') {
            self.at += 1;
            return Token::Name("approximately".into());
        }
        let start = self.at;
        let rest = self.take(|c| c.is_alphanumeric() && signs::superscript(c).is_none() || c == '_');
        let name = [letters.as_str(), &rest].concat();
        if letters == "d" && !rest.is_empty() && rest.bytes().all(|c| c.is_ascii_digit()) && !after_number {
            return Token::Raw(name);
        }
        // In 1h30m and 6ft1 a number follows; in m2 and log10 it is a part of the name.
        if after_number && !functions::is_known(&name) && !crate::units::is_power(&name) {
            self.at = start;
            return Token::Name(letters);
        }
        Token::Name(name)
    }

    /// Whether an x stands between two values.
    fn is_times(&self) -> bool {
        let after = self.text[self.at + 1..].iter().find(|c| !c.is_whitespace());
        let before = match self.last() {
            Some(Token::Number(_) | Token::Fraction(..) | Token::Raised(_) | Token::Sign(")" | "%" | "!")) => true,
            // 10 cm x 20 cm: with space around, so that it is no part of a name.
            Some(Token::Name(_)) => self.peek(1) == Some(' ') && self.tokens.len() > 1,
            _ => false,
        };
        before && after.is_some_and(|c| c.is_ascii_digit() || matches!(c, '.' | '(' | '-' | '√'))
    }

    fn text_literal(&mut self, quote: char) -> Result<Token, Refusal> {
        let start = self.at;
        self.at += 1;
        while let Some(c) = self.peek(0) {
            self.at += if c == '\\' { 2 } else { 1 };
            if c == quote {
                return Ok(Token::Raw(self.text[start..self.at].iter().collect()));
            }
        }
        Err(Refusal::Incomplete(format!("the text has no closing {quote}")))
    }

    fn sign(&mut self, c: char) -> Result<Token, Refusal> {
        // Other brackets are parentheses; what is raised like a power is one.
        let (sign, length) = match c {
            '[' | '{' => ("(", 1),
            ']' | '}' => (")", 1),
            // 5!= is a factorial that someone wants to know.
            _ => match SIGNS.iter().find(|sign| self.starts_with(sign)) {
                None => return unclear(format!("{c} is not understood here")),
                Some(&"**") => ("^", 2),
                Some(&"<>") => ("!=", 2),
                Some(sign) => (*sign, sign.chars().count()),
            },
        };
        match sign {
            "(" => {
                let separates = self.has_arguments()?;
                self.commas_separate.push(separates);
            }
            ")" => drop(self.commas_separate.pop()),
            _ => {}
        }
        self.at += length;
        Ok(Token::Sign(sign))
    }

    /// Whether the parenthesis here holds arguments with commas between them.
    fn has_arguments(&mut self) -> Result<bool, Refusal> {
        let Some(Token::Name(name)) = self.last() else { return Ok(false) };
        let name = &name.to_lowercase();
        if !functions::takes_several(name) {
            return Ok(false);
        }
        let (mut depth, mut tight, mut loose) = (0, false, false);
        for at in self.at..self.text.len() {
            match self.text[at] {
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' if depth == 1 => break,
                ')' | ']' | '}' => depth -= 1,
                ';' if depth == 1 => return Ok(false),
                ',' if depth == 1 => {
                    let is_digit = |at: usize| self.text.get(at).is_some_and(|c| c.is_ascii_digit());
                    if is_digit(at - 1) && is_digit(at + 1) { tight = true } else { loose = true }
                }
                _ => {}
            }
        }
        self.noted |= tight;
        // Where a comma is the decimal sign, one without a space is it in max(1,5, 2), and in round(2,5), which can do
        // with one value.
        let may_be_decimal = tight && (loose || matches!(name.as_str(), "log" | "round"));
        Ok(!(may_be_decimal && self.sign == DecimalSign::Comma))
    }
}
