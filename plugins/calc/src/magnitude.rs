//! How big numbers will get, found out before anything is calculated.
//!
//! fend is watched while it works, and ends in time; but 9^9^9 need not be begun.

use std::collections::HashMap;

use crate::refusal::Refusal;
use crate::syntax::{Additive, Expr, Multiplicative};

/// As many as the budget lets a number have, in bits.
const MAX_BITS: f64 = 262_144.0;

pub fn check(expr: &Expr) -> Result<(), Refusal> {
    Estimate { variables: HashMap::new() }.of(expr).map(drop)
}

struct Estimate {
    variables: HashMap<String, Option<f64>>,
}

impl Estimate {
    /// About the value; nothing where only fend knows.
    fn of(&mut self, expr: &Expr) -> Result<Option<f64>, Refusal> {
        Ok(match expr {
            Expr::Number(text) => number(text)?,
            Expr::Name(name) => self.variables.get(&name.fend).copied().flatten().or(match name.fend.as_str() {
                "pi" => Some(std::f64::consts::PI),
                "e" => Some(std::f64::consts::E),
                "k" | "thousand" => Some(1e3),
                "M" | "million" => Some(1e6),
                "G" | "billion" => Some(1e9),
                "T" | "trillion" => Some(1e12),
                _ => None,
            }),
            Expr::Raw(_) | Expr::Member(..) => None,
            Expr::Group(x) => self.of(x)?,
            Expr::Negative(x) => self.of(x)?.map(|x| -x),
            Expr::Percent(x) => self.of(x)?.map(|x| x / 100.0),
            Expr::Factorial(x) => self.of(x)?.map(factorial).transpose()?,
            Expr::Power(base, exponent) => {
                let (base, exponent) = (self.of(base)?, self.of(exponent)?);
                power(base, exponent)?
            }
            Expr::Adjacent(parts) => self.fold(parts, |a, b| a * b)?,
            Expr::Mixed(parts) => self.fold(parts, |a, b| a + b)?,
            Expr::Product(first, rest) => {
                let mut value = self.of(first)?;
                for (sign, factor) in rest {
                    let factor = self.of(factor)?;
                    value = value.zip(factor).map(|(a, b)| match sign {
                        Multiplicative::Times | Multiplicative::Of => a * b,
                        Multiplicative::Over => a / b,
                        Multiplicative::Whole => (a / b).floor(),
                        Multiplicative::Modulo => a % b,
                        Multiplicative::Off => (1.0 - a) * b,
                    });
                }
                value
            }
            Expr::Sum(first, rest) => {
                let mut value = self.of(first)?;
                for (sign, term) in rest {
                    let other = self.of(term)?;
                    value = value.zip(other).map(|(a, b)| if *sign == Additive::Plus { a + b } else { a - b });
                }
                value
            }
            Expr::Convert(value, target) => {
                let value = self.of(value)?;
                self.of(target)?;
                value
            }
            Expr::Binary("<<", left, right) => {
                let (left, right) = (self.of(left)?, self.of(right)?);
                let shifted = power(Some(2.0), right)?;
                left.zip(shifted).map(|(a, b)| a * b)
            }
            Expr::Binary(sign, left, right) => {
                let (left, right) = (self.of(left)?, self.of(right)?);
                if matches!(*sign, "nCr" | "nPr") {
                    left.map(factorial).transpose()?;
                }
                left.zip(right).map(|(a, b)| a.max(b))
            }
            Expr::Call(function, arguments) => {
                let mut values = vec![];
                for argument in arguments {
                    values.push(self.of(argument)?);
                }
                match (function.as_str(), values.as_slice()) {
                    ("factorial", [Some(x)]) => Some(factorial(*x)?),
                    ("pow", [base, exponent]) => power(*base, *exponent)?,
                    ("round", [_, places]) => power(Some(10.0), *places)?.and(None),
                    ("exp", [exponent]) => power(Some(std::f64::consts::E), *exponent)?,
                    ("fib" | "fibonacci", [Some(n)]) => power(Some(1.618), Some(*n))?,
                    ("ncr" | "npr", [Some(n), _]) => Some(factorial(*n)?).and(None),
                    _ => None,
                }
            }
            Expr::Lambda(_, body) => self.of(body)?.and(None),
            Expr::Assign(name, value) => {
                let value = self.of(value)?;
                self.variables.insert(name.clone(), value);
                value
            }
            Expr::Statements(list) => {
                let mut last = None;
                for statement in list {
                    last = self.of(statement)?;
                }
                last
            }
        })
    }

    fn fold(&mut self, parts: &[Expr], join: impl Fn(f64, f64) -> f64) -> Result<Option<f64>, Refusal> {
        let mut value = self.of(&parts[0])?;
        for part in &parts[1..] {
            let other = self.of(part)?;
            value = value.zip(other).map(|(a, b)| join(a, b));
        }
        Ok(value)
    }
}

fn number(text: &str) -> Result<Option<f64>, Refusal> {
    if let Some((_, exponent)) = text.split_once('e').filter(|_| !text.starts_with("0x"))
        && exponent.parse::<f64>().is_ok_and(|exponent| exponent.abs() > MAX_BITS / 3.33)
    {
        return Err(Refusal::TooBig);
    }
    let radix = match text.get(..2) {
        Some("0x") => 16,
        Some("0o") => 8,
        Some("0b") => 2,
        _ => return Ok(text.parse().ok()),
    };
    Ok(text[2..].chars().try_fold(0.0, |sum, c| Some(sum * f64::from(radix) + f64::from(c.to_digit(radix)?))))
}

fn power(base: Option<f64>, exponent: Option<f64>) -> Result<Option<f64>, Refusal> {
    let Some((base, exponent)) = base.zip(exponent) else {
        // 99^n is as big as n makes it; and whatever is raised to a million is big, or close to one.
        return Ok(None);
    };
    let bits = base.abs().log2().abs() * exponent.abs();
    // A base so close to one that it makes no big number may still be one of many digits: fend's budget sees to it.
    if bits.is_nan() || bits <= MAX_BITS || base == 0.0 { Ok(Some(base.powf(exponent))) } else { Err(Refusal::TooBig) }
}

fn factorial(n: f64) -> Result<f64, Refusal> {
    if n * (n / std::f64::consts::E).log2() > MAX_BITS {
        return Err(Refusal::TooBig);
    }
    Ok(if n <= 170.0 { (1..=n.max(0.0) as u32).map(f64::from).product() } else { f64::INFINITY })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lexer::lex;
    use crate::locale::DecimalSign;
    use crate::parser::{Slash, parse};

    fn is_big(text: &str) -> bool {
        let lexed = lex(text, DecimalSign::Point).unwrap();
        check(&parse(&lexed.tokens, Slash::InOrder).unwrap().expr).is_err()
    }

    #[test]
    fn sees_what_will_be_too_big() {
        for text in [
            "9^9^9",
            "2^2^2^2^2^2",
            "10^10^10",
            "1<<9999999",
            "x = 9999999; 1 << x",
            "1e900000",
            "99999!",
            "(3!)!!!!",
            "999999 nCr 3",
            "0xffffff!",
            "2^(1e9) km",
            "5% + 7^9^9",
            "max(1, 9^9^9)",
            "fibonacci 1000000000",
        ] {
            assert!(is_big(text), "{text}");
        }
    }

    #[test]
    fn lets_the_rest_through() {
        for text in ["2^70", "2000!", "1<<99", "2^2^2^2^2", "0^999999", "1^99999999", "5 km", "pi^3", "1e300", "x^9"] {
            assert!(!is_big(text), "{text}");
        }
    }
}
