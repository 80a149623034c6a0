//! From tokens to an expression, by the rules of reading that plugins/README.md lists.

mod call;
mod operand;

use crate::lexer::Token;
use crate::refusal::{Refusal, unclear};
use crate::syntax::{Additive, Expr, Multiplicative};
use crate::units;

/// Deeper ones could overflow the stack, here or in fend.
const MAX_DEPTH: usize = 100;

/// What 1/2 h means, where both readings are possible.
#[derive(Clone, Copy, PartialEq)]
pub enum Slash {
    /// Half an hour: from the left to the right.
    InOrder,
    /// One in two hours: a unit belongs to the number before it.
    UnitFirst,
}

pub struct Parsed {
    pub expr: Expr,
    /// Whether another reading is common, so that this one is to be shown.
    pub noted: bool,
    /// Whether the slash made the difference.
    pub slash_matters: bool,
}

pub fn parse(tokens: &[Token], slash: Slash) -> Result<Parsed, Refusal> {
    let defined = tokens
        .windows(2)
        .filter_map(|pair| match (&pair[0], &pair[1]) {
            (Token::Name(name), Token::Sign("=" | ":" | "=>")) | (Token::Sign("\\"), Token::Name(name)) => Some(name),
            _ => None,
        })
        .cloned()
        .collect();
    let mut parser = Parser {
        tokens,
        at: 0,
        depth: 0,
        slash,
        defined,
        noted: false,
        slash_matters: false,
        kelvin: false,
        converts: false,
        implied_target: false,
    };
    let expr = parser.statements()?;
    if let Some(token) = parser.peek() {
        return Err(parser.unexpected(token));
    }
    // 5 K may be five thousand, but hardly where a temperature is converted.
    parser.noted |= parser.kelvin && !parser.converts;
    Ok(Parsed { expr, noted: parser.noted, slash_matters: parser.slash_matters })
}

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    depth: usize,
    slash: Slash,
    /// The names that the expression itself gives a value.
    defined: Vec<String>,
    noted: bool,
    slash_matters: bool,
    kelvin: bool,
    converts: bool,
    /// Whether a unit to convert to follows without a word.
    implied_target: bool,
}

/// What joins two expressions that bind less than a sum, in the order in which fend has them, weakest first.
const BINARY: [&[(&str, &str)]; 6] = [
    &[("npr", "nPr"), ("permute", "nPr")],
    &[("ncr", "nCr"), ("choose", "nCr")],
    &[("|", "|"), ("or", "|")],
    &[("xor", "xor")],
    &[("&", "&"), ("and", "&")],
    &[("<<", "<<"), (">>", ">>")],
];

fn shown(token: &Token) -> String {
    match token {
        Token::Number(text) | Token::Name(text) | Token::Raw(text) => text.clone(),
        Token::Fraction(a, b) => format!("{a}/{b}"),
        Token::Time(parts) => parts.join(":"),
        Token::Raised(text) => ["^", text].concat(),
        Token::Sign(sign) => (*sign).into(),
    }
}

impl Parser<'_> {
    fn ahead(&self, distance: usize) -> Option<&Token> {
        self.tokens.get(self.at + distance)
    }

    fn peek(&self) -> Option<&Token> {
        self.ahead(0)
    }

    /// Takes a sign, or a word in any case.
    fn accept(&mut self, expected: &str) -> bool {
        let found = self.is_at(0, expected);
        self.at += usize::from(found);
        found
    }

    /// Whether a unit stands there.
    fn is_unit_at(&self, distance: usize) -> bool {
        let Some(Token::Name(name)) = self.ahead(distance) else { return false };
        matches!(units::read(name), Ok((unit, _)) if unit.has_unit())
    }

    fn is_at(&self, distance: usize, expected: &str) -> bool {
        match self.ahead(distance) {
            Some(Token::Sign(sign)) => *sign == expected,
            Some(Token::Name(name)) => name.eq_ignore_ascii_case(expected) && !self.defined.contains(name),
            _ => false,
        }
    }

    fn is_conversion(&self, distance: usize) -> bool {
        ["to", "in", "as", "into", "->"].iter().any(|word| self.is_at(distance, word))
    }

    /// Whether an operand begins there: a value, but no word that joins two.
    fn begins_operand(&self, distance: usize) -> bool {
        match self.ahead(distance) {
            Some(Token::Number(_) | Token::Fraction(..) | Token::Time(_) | Token::Raw(_) | Token::Sign("(")) => true,
            Some(Token::Name(_)) => !self.is_word(distance),
            _ => false,
        }
    }

    fn is_word(&self, distance: usize) -> bool {
        const WORDS: [&str; 14] = [
            "mod", "per", "of", "off", "xor", "and", "or", "ncr", "npr", "choose", "permute", "times", "plus", "minus",
        ];
        let calls =
            self.is_at(distance + 1, "(") && ["mod", "ncr", "npr"].iter().any(|word| self.is_at(distance, word));
        self.is_conversion(distance) || WORDS.iter().any(|word| self.is_at(distance, word)) && !calls
    }

    fn unexpected(&self, token: &Token) -> Refusal {
        let text = shown(token);
        Refusal::Unclear(match token {
            Token::Sign(")") => "a parenthesis is closed that was not opened".into(),
            Token::Sign(",") => "the comma is not understood here".into(),
            Token::Sign("=") => "equations are not solved, and a comparison is written ==".into(),
            Token::Number(_) | Token::Fraction(..) | Token::Time(_) => "two values stand side by side".into(),
            _ => format!("{text} is not understood here"),
        })
    }

    fn missing(&self) -> Refusal {
        Refusal::Incomplete(match self.at.checked_sub(1).and_then(|at| self.tokens.get(at)) {
            Some(token) => format!("something is missing after {}", shown(token)),
            None => "something is missing".into(),
        })
    }

    fn deeper<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T, Refusal>) -> Result<T, Refusal> {
        if self.depth == MAX_DEPTH {
            return Err(Refusal::TooBig);
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    fn statements(&mut self) -> Result<Expr, Refusal> {
        let mut statements = vec![];
        loop {
            while self.accept(";") {}
            if self.peek().is_none() {
                break;
            }
            statements.push(self.statement()?);
            if !self.is_at(0, ";") {
                break;
            }
        }
        // 1;5 would be 5: only what is given a name may go without saying.
        let (last, before) = statements.split_last().ok_or(Refusal::Nothing)?;
        if !before.iter().all(|statement| matches!(statement, Expr::Assign(..))) {
            return unclear("the semicolon is not understood here");
        }
        Ok(if before.is_empty() { last.clone() } else { Expr::Statements(statements) })
    }

    fn statement(&mut self) -> Result<Expr, Refusal> {
        let name = match self.peek() {
            Some(Token::Name(name)) => name.clone(),
            Some(Token::Sign("\\")) => {
                let Some(Token::Name(name)) = self.ahead(1).cloned() else { return Err(self.missing()) };
                self.at += 2;
                return unclear(format!("write {name}: for a function of {name}"));
            }
            _ => return self.comparison(),
        };
        if self.is_at(1, "=") {
            self.at += 2;
            return Ok(Expr::Assign(name, Box::new(self.deeper(Self::statement)?)));
        }
        if self.is_at(1, ":") || self.is_at(1, "=>") {
            self.at += 2;
            return Ok(Expr::Lambda(name, Box::new(self.deeper(Self::statement)?)));
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<Expr, Refusal> {
        let left = self.binary(0)?;
        for (sign, fend) in [("==", "=="), ("!=", "!=")] {
            if self.accept(sign) {
                self.noted |= sign == "!=";
                return Ok(Expr::Binary(fend, Box::new(left), Box::new(self.binary(0)?)));
            }
        }
        Ok(left)
    }

    fn binary(&mut self, level: usize) -> Result<Expr, Refusal> {
        let Some(operators) = BINARY.get(level) else { return self.sum() };
        let mut left = self.binary(level + 1)?;
        let mut length = 0;
        while let Some((sign, fend)) = operators.iter().find(|(sign, _)| self.is_at(0, sign)) {
            let is_word = matches!(*sign, "and" | "or");
            self.at += 1;
            length += 1;
            if length > MAX_DEPTH {
                return Err(Refusal::TooBig);
            }
            let right = self.binary(level + 1)?;
            // 5 nCr 2 + 1 is 5 nCr 3 here, and 11 on a calculator; 1 << 2 + 3 and 5 & 3 + 1 depend on the language.
            let joined = |x: &Expr| matches!(x, Expr::Sum(..) | Expr::Product(..) | Expr::Binary(..));
            self.noted |= joined(&left) || joined(&right);
            // 5 and 3 might be 8.
            let is_number = |x: &Expr| matches!(x, Expr::Number(_));
            self.noted |= is_word && is_number(&left) && is_number(&right);
            left = Expr::Binary(fend, Box::new(left), Box::new(right));
        }
        Ok(left)
    }

    fn sum(&mut self) -> Result<Expr, Refusal> {
        let mut first = self.product()?;
        let mut rest = vec![];
        loop {
            let sign = if self.accept("+") || self.accept("plus") {
                Additive::Plus
            } else if self.accept("-") || self.accept("minus") {
                Additive::Minus
            } else if std::mem::take(&mut self.implied_target) || self.is_conversion(0) {
                let sum = if rest.is_empty() { first } else { Expr::Sum(Box::new(first), std::mem::take(&mut rest)) };
                self.at += usize::from(self.is_conversion(0));
                first = self.deeper(|parser| parser.conversion(sum))?;
                continue;
            } else {
                break;
            };
            let term = self.product()?;
            let all = first.is_percentage() && rest.iter().all(|(_, term): &(_, Expr)| term.is_percentage());
            // A percentage in a sum, of what stands before or not, is said how it was read; so is 100 - 10% * 2.
            let begins = matches!(&term, Expr::Product(first, rest)
                if first.is_percentage() && rest[0].0 != Multiplicative::Of);
            self.noted |= term.is_percentage() || begins || all;
            // 2 + 7 mod 3 is (2 + 7) mod 3 for mathematicians, 20% of 50 + 10 may be 20% of 60.
            self.noted |= [&first, &term].into_iter().chain(rest.last().map(|(_, x)| x)).any(is_loose);
            rest.push((sign, term));
        }
        if rest.is_empty() {
            return Ok(first);
        }
        let scales: Vec<&str> = std::iter::once(&first).chain(rest.iter().map(|(_, x)| x)).filter_map(scale).collect();
        if scales.iter().any(|scale| *scale != scales[0]) {
            return unclear("temperatures of different scales can't be added");
        }
        Ok(Expr::Sum(Box::new(first), rest))
    }

    /// Behind the word: what is converted is known, the target follows.
    fn conversion(&mut self, mut value: Expr) -> Result<Expr, Refusal> {
        self.converts = true;
        let mut target = if self.accept("%") { Expr::unit("%", "%") } else { self.product()? };
        // c, f and k are temperatures where both sides are; otherwise c is the speed of light.
        if let (Some(from), Some(to)) = (temperature_in(&mut value), temperature_in(&mut target)) {
            let (from_scale, to_scale) = (from.1, to.1);
            *from.0 = Expr::unit(from_scale, from_scale);
            *to.0 = Expr::unit(to_scale, to_scale);
        }
        Ok(Expr::Convert(Box::new(value), Box::new(target)))
    }

    fn product(&mut self) -> Result<Expr, Refusal> {
        let mut first = self.deeper(Self::adjacent)?;
        let mut rest: Vec<(Multiplicative, Expr)> = vec![];
        loop {
            let sign = if self.accept("*") || self.accept("times") {
                Multiplicative::Times
            } else if self.accept("//") {
                self.noted = true;
                Multiplicative::Whole
            } else if self.accept("/") || self.accept("per") {
                Multiplicative::Over
            } else if self.accept("mod") {
                Multiplicative::Modulo
            } else if self.is_at(0, "%") {
                // Only one with an operand behind it is left here.
                self.at += 1;
                self.noted = true;
                Multiplicative::Modulo
            } else if self.is_at(0, "of") && !matches!(first, Expr::Name(_)) {
                self.at += 1;
                Multiplicative::Of
            } else if self.is_at(0, "off") && first.is_percentage() && rest.is_empty() {
                self.at += 1;
                self.noted = true;
                Multiplicative::Off
            } else {
                break;
            };
            if self.is_at(0, "/") {
                return unclear("/ is not understood here");
            }
            // 8^1/3 may be meant as 8^(1/3), 3²/2 and x^2/km may not.
            let raised = self.at > 1 && matches!(self.tokens[self.at - 2], Token::Raised(_));
            let before = rest.last().map_or(&first, |(_, x)| x);
            let may_go_on = sign == Multiplicative::Over && !raised && has_bare_exponent(before);
            let factor = self.deeper(Self::adjacent)?;
            self.noted |= may_go_on && !factor.has_unit() && !matches!(factor, Expr::Group(_));
            if sign == Multiplicative::Over {
                self.noted |= factor.is_percentage();
                if let Expr::Adjacent(parts) = factor {
                    // 12 km / 4 km/h: a speed, most likely.
                    let is_quantity = matches!(parts[0], Expr::Number(_)) && parts[1..].iter().all(Expr::has_unit);
                    if is_quantity && self.is_at(0, "/") && self.is_unit_at(1) {
                        self.at += 1;
                        let unit = self.deeper(Self::power)?;
                        let rate = Expr::Product(Box::new(Expr::Adjacent(parts)), vec![(Multiplicative::Over, unit)]);
                        rest.push((sign, Expr::Group(Box::new(rate))));
                        self.noted = true;
                        continue;
                    }
                    self.over(&mut first, &mut rest, parts);
                    continue;
                }
            }
            rest.push((sign, factor));
        }
        // Whether mod binds as tightly as * does is not the same everywhere.
        self.noted |= rest.len() > 1 && rest.iter().any(|(sign, _)| *sign == Multiplicative::Modulo);
        // 12/25/2024 looks like a date.
        let is_number = |x: &Expr| matches!(x, Expr::Number(_));
        let divides = |(sign, x): &(_, Expr)| *sign == Multiplicative::Over && is_number(x);
        self.noted |= rest.len() == 2 && is_number(&first) && rest.iter().all(divides);
        Ok(if rest.is_empty() { first } else { Expr::Product(Box::new(first), rest) })
    }

    /// A slash with several things side by side behind it: 100 km / 2 h, 1/2 h, 6/2(1+2), J / kg K.
    fn over(&mut self, first: &mut Expr, rest: &mut Vec<(Multiplicative, Expr)>, mut parts: Vec<Expr>) {
        let divides_units = first.has_unit() || rest.iter().any(|(_, x)| x.has_unit());
        let has_unit = parts.iter().any(Expr::has_unit);
        let begins_with_number = !parts[0].has_unit();
        let is_scale = |part: &Expr| matches!(part, Expr::Name(name) if units::is_scale(&name.fend));
        let number = 1 + parts[1..].iter().take_while(|part| is_scale(part)).count();
        if number == parts.len() {
            // 12 / 3k
            rest.push((Multiplicative::Over, Expr::Adjacent(parts)));
            return;
        }
        if !begins_with_number || divides_units && has_unit {
            // J / kg K is sometimes meant otherwise; 100 km / 2 h is not.
            self.noted |= !begins_with_number || parts.len() > 2;
            rest.push((Multiplicative::Over, Expr::Adjacent(parts)));
            return;
        }
        self.noted = true;
        self.slash_matters = true;
        if self.slash == Slash::UnitFirst {
            rest.push((Multiplicative::Over, Expr::Adjacent(parts)));
            return;
        }
        let others = parts.split_off(number);
        let divisor = if number == 1 { parts.remove(0) } else { Expr::Adjacent(parts) };
        rest.push((Multiplicative::Over, divisor));
        let quotient = Expr::Product(Box::new(first.clone()), std::mem::take(rest));
        *first = Expr::Adjacent(std::iter::once(quotient).chain(others).collect());
    }
}

/// Whether it is joined by a word that may be meant to bind less than a sum.
fn is_loose(term: &Expr) -> bool {
    matches!(term, Expr::Product(_, rest)
        if rest.iter().any(|(sign, _)| matches!(sign, Multiplicative::Modulo | Multiplicative::Of)))
}

/// Whether it ends with an exponent without parentheses, on something that is no unit.
fn has_bare_exponent(expr: &Expr) -> bool {
    match expr {
        Expr::Negative(x) => has_bare_exponent(x),
        Expr::Adjacent(parts) => has_bare_exponent(&parts[parts.len() - 1]),
        Expr::Power(base, exponent) => !base.has_unit() && !matches!(**exponent, Expr::Group(_)),
        _ => false,
    }
}

/// The unit of a value if it is a temperature, and its scale.
fn temperature_in(value: &mut Expr) -> Option<(&mut Expr, &'static str)> {
    match value {
        Expr::Name(name) => {
            let scale = units::temperature(&name.fend)?;
            Some((value, scale))
        }
        Expr::Group(x) | Expr::Negative(x) => temperature_in(x),
        Expr::Adjacent(parts) if parts.len() == 2 => temperature_in(&mut parts[1]),
        Expr::Convert(_, target) => temperature_in(target),
        _ => None,
    }
}

/// The scale of a term that is certainly a temperature.
fn scale(term: &Expr) -> Option<&'static str> {
    match term {
        Expr::Group(x) | Expr::Negative(x) => scale(x),
        Expr::Adjacent(parts) => match &parts[1..] {
            [Expr::Name(name)] if name.fend.len() > 1 || matches!(name.fend.as_str(), "C" | "F" | "K") => {
                units::temperature(&name.fend)
            }
            _ => None,
        },
        _ => None,
    }
}
