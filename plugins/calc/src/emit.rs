//! From an expression to what fend calculates, with parentheses where fend would read it otherwise.

use crate::refusal::Refusal;
use crate::syntax::{Additive, Expr, Multiplicative};
use crate::units;

/// fend's parser recurses without asking whether it may.
const MAX_PARENTHESES: usize = 120;
const MAX_LENGTH: usize = 6000;

#[derive(Debug, PartialEq)]
pub struct Emitted {
    pub text: String,
    /// The currencies in it, which fend has to be told.
    pub currencies: Vec<String>,
}

pub fn emit(expr: &Expr) -> Result<Emitted, Refusal> {
    let mut emitter = Emitter { currencies: vec![], names: 0 };
    let text = emitter.at(expr, 0);
    let (mut depth, mut deepest) = (0usize, 0);
    for c in text.bytes() {
        match c {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    if deepest > MAX_PARENTHESES || text.len() > MAX_LENGTH {
        return Err(Refusal::TooBig);
    }
    emitter.currencies.sort();
    emitter.currencies.dedup();
    Ok(Emitted { text, currencies: emitter.currencies })
}

/// How tight an expression binds in fend.
fn level(expr: &Expr) -> u8 {
    match expr {
        Expr::Lambda(..) | Expr::Assign(..) | Expr::Statements(_) => 0,
        Expr::Binary("<<", ..) => 3,
        Expr::Binary(..) => 1,
        Expr::Sum(..) | Expr::Convert(..) | Expr::Mixed(_) => 2,
        Expr::Product(..) | Expr::Adjacent(_) | Expr::Call(..) => 3,
        Expr::Group(x) => level(x),
        Expr::Negative(_) => 4,
        Expr::Power(..) => 5,
        Expr::Factorial(_) => 6,
        Expr::Number(_) | Expr::Name(_) | Expr::Raw(_) | Expr::Percent(_) | Expr::Member(..) => 7,
    }
}

struct Emitter {
    currencies: Vec<String>,
    /// Variables made for values that are needed twice.
    names: usize,
}

impl Emitter {
    /// In parentheses, unless it binds as tight as that.
    fn at(&mut self, expr: &Expr, least: u8) -> String {
        let text = self.bare(expr);
        if level(expr) < least { ["(", &text, ")"].concat() } else { text }
    }

    fn bare(&mut self, expr: &Expr) -> String {
        match expr {
            Expr::Number(text) | Expr::Raw(text) => text.clone(),
            Expr::Name(name) => {
                if units::is_currency(&name.fend) {
                    self.currencies.push(name.fend.clone());
                }
                name.fend.clone()
            }
            Expr::Group(x) => self.bare(x),
            Expr::Negative(x) => ["-", &self.at(x, 5)].concat(),
            Expr::Factorial(x) => [&self.at(x, 6), "!"].concat(),
            Expr::Percent(x) => ["(", &self.at(x, 4), "/100)"].concat(),
            Expr::Power(base, exponent) => [&self.at(base, 6), "^", &self.at(exponent, 6)].concat(),
            Expr::Adjacent(parts) => self.adjacent(parts),
            Expr::Mixed(parts) => parts.iter().map(|part| self.at(part, 3)).collect::<Vec<_>>().join(" + "),
            Expr::Product(first, rest) => self.product(first, rest),
            Expr::Sum(first, rest) => self.sum(first, rest),
            Expr::Convert(value, target) => [&self.at(value, 2), " to ", &self.at(target, 3)].concat(),
            // fend's own shift inserts zeros for as long as it takes.
            Expr::Binary("<<", left, right) => [&self.at(left, 4), " * 2^", &self.at(right, 6)].concat(),
            Expr::Binary(sign, left, right) => [&self.at(left, 2), " ", sign, " ", &self.at(right, 2)].concat(),
            Expr::Call(function, arguments) => self.call(function, arguments),
            Expr::Member(name, object) => ["(", name, " of ", &self.at(object, 7), ")"].concat(),
            Expr::Lambda(name, body) => [name, ": ", &self.at(body, 0)].concat(),
            Expr::Assign(name, value) => [name, " = ", &self.at(value, 0)].concat(),
            Expr::Statements(list) => list.iter().map(|x| self.at(x, 0)).collect::<Vec<_>>().join("; "),
        }
    }

    fn adjacent(&mut self, parts: &[Expr]) -> String {
        // fend takes a name and what follows for a function and its argument, where it is one.
        let applies = |part: &Expr| matches!(part, Expr::Name(name) if name.role == crate::syntax::Role::Variable);
        let mut text = self.at(&parts[0], 5);
        for pair in parts.windows(2) {
            let is_named = match &pair[1] {
                Expr::Name(_) => true,
                Expr::Power(base, _) => matches!(**base, Expr::Name(_)),
                _ => false,
            };
            text.push_str(if is_named || applies(&pair[0]) { " " } else { " * " });
            text.push_str(&self.at(&pair[1], 5));
        }
        text
    }

    fn product(&mut self, first: &Expr, rest: &[(Multiplicative, Expr)]) -> String {
        let mut text = self.at(first, 3);
        for (sign, factor) in rest {
            let factor = self.at(factor, 4);
            match sign {
                Multiplicative::Times | Multiplicative::Of => text = [&text, " * ", &factor].concat(),
                Multiplicative::Over => text = [&text, " / ", &factor].concat(),
                Multiplicative::Modulo => text = [&text, " mod ", &factor].concat(),
                Multiplicative::Whole => text = ["floor (", &text, " / ", &factor, ")"].concat(),
                Multiplicative::Off => text = ["(1 - ", &text, ") * ", &factor].concat(),
            }
        }
        text
    }

    /// A percentage is one of what stands before it, unless that is a percentage, too.
    fn sum(&mut self, first: &Expr, rest: &[(Additive, Expr)]) -> String {
        let mut text = self.at(first, 2);
        let mut percentages = first.is_percentage();
        for (sign, term) in rest {
            let sign = if *sign == Additive::Plus { " + " } else { " - " };
            let is_percentage = term.is_percentage();
            if is_percentage && !percentages {
                text = ["(", &text, ") * (1", sign, &self.at(term, 4), ")"].concat();
            } else {
                text = [&text, sign, &self.at(term, 3)].concat();
            }
            percentages &= is_percentage;
        }
        text
    }

    fn call(&mut self, function: &str, arguments: &[Expr]) -> String {
        let values: Vec<String> = arguments.iter().map(|x| ["(", &self.at(x, 0), ")"].concat()).collect();
        match (function, values.as_slice()) {
            ("min" | "max", _) => self.extreme(if function == "min" { "-" } else { "+" }, &values),
            ("sum", _) => ["(", &values.join(" + "), ")"].concat(),
            ("avg" | "mean", _) => ["(", &values.join(" + "), ") / ", &values.len().to_string()].concat(),
            ("pow", [base, exponent]) => ["(", base, "^", exponent, ")"].concat(),
            ("root", [value, degree]) => ["(", value, "^(1/", degree, "))"].concat(),
            ("mod", [a, b]) => [a, " mod ", b].concat(),
            ("hypot", [a, b]) => ["(", a, "^2 + ", b, "^2)^(1/2)"].concat(),
            ("ncr", [a, b]) => ["(", a, " nCr ", b, ")"].concat(),
            ("npr", [a, b]) => ["(", a, " nPr ", b, ")"].concat(),
            ("log", [value, base]) => ["log10 ", value, " / (log10 ", base, ")"].concat(),
            ("round", [value, places]) => ["round (", value, " * 10^", places, ") / 10^", places].concat(),
            ("factorial", [value]) => [value, "!"].concat(),
            _ => [function, " ", &values.concat()].concat(),
        }
    }

    /// fend can't compare, but the lesser of two is (a + b - |a - b|) / 2, exactly. Each is calculated once.
    fn extreme(&mut self, sign: &str, values: &[String]) -> String {
        let mut name = || {
            self.names += 1;
            format!("value_{}", self.names)
        };
        let (result, next) = (name(), name());
        let mut text = ["(", &result, " = ", &values[0]].concat();
        for value in &values[1..] {
            let step =
                format!("; {next} = {value}; {result} = ({result} + {next} {sign} (abs ({result} - {next}))) / 2");
            text.push_str(&step);
        }
        [&text, "; ", &result, ")"].concat()
    }
}
