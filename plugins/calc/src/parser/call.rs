//! Functions and their arguments.

use super::Parser;
use crate::functions;
use crate::lexer::Token;
use crate::refusal::{Refusal, unclear};
use crate::syntax::Expr;

impl Parser<'_> {
    pub(super) fn call(&mut self, function: &str) -> Result<Expr, Refusal> {
        // sin^2(x) and sin^-1(x)
        let mut power = None;
        if matches!(function, "sin" | "cos" | "tan" | "sinh" | "cosh" | "tanh" | "ln" | "log") {
            if self.accept("^") {
                power = Some(self.exponent()?);
            } else if let Some(Token::Raised(raised)) = self.peek().cloned() {
                self.at += 1;
                power = Some(match raised.strip_prefix('-') {
                    Some(digits) => Expr::Negative(Box::new(Expr::Number(digits.into()))),
                    None => Expr::Number(raised),
                });
            }
        }
        let arguments = self.arguments(function)?;
        let (least, most) = functions::arity(function);
        if !(least..=most).contains(&arguments.len()) {
            return unclear(format!("{function} doesn't take {} values", arguments.len()));
        }
        // An angle without a unit may be meant in degrees; log is the natural one for some.
        self.noted |= functions::takes_angle(function) && arguments[0].is_plain_angle();
        self.noted |= function == "log" && arguments.len() == 1;
        self.noted |= functions::gives_angle(function) && !self.is_conversion(0);
        let inverse = Expr::Negative(Box::new(Expr::Number("1".into())));
        let is_inverse = power.as_ref().is_some_and(|power| *power.ungrouped() == inverse);
        if is_inverse && functions::takes_angle(function) {
            self.noted = true;
            return Ok(Expr::Call(["a", function].concat(), arguments));
        }
        let call = Expr::Call(function.into(), arguments);
        Ok(match power {
            None => call,
            Some(power) => {
                self.noted = true;
                Expr::Power(Box::new(call), Box::new(power))
            }
        })
    }

    fn arguments(&mut self, function: &str) -> Result<Vec<Expr>, Refusal> {
        if !self.accept("(") {
            let argument = match function {
                // √16 x: a sign holds on to what follows at once.
                "sqrt" | "cbrt" if matches!(self.tokens[self.at - 1], Token::Name(ref n) if n == "√" || n == "∛") => {
                    self.deeper(Self::power)?
                }
                _ => self.deeper(Self::adjacent)?,
            };
            if let Expr::Adjacent(parts) = &argument {
                self.noted |= parts.len() > 2 || !functions::takes_angle(function);
            }
            // sin pi/2 is (sin pi)/2 here, and sin(pi/2) on a calculator.
            const OPERATORS: [&str; 15] =
                ["+", "-", "*", "/", "//", "%", "<<", ">>", "mod", "per", "of", "times", "plus", "minus", "choose"];
            self.noted |= !matches!(argument, Expr::Group(_)) && OPERATORS.iter().any(|sign| self.is_at(0, sign));
            // ln 2^3 is ln(2^3), and (ln 2)^3 for some.
            self.noted |= matches!(argument, Expr::Power(..) | Expr::Factorial(_) | Expr::Percent(_));
            return Ok(vec![argument]);
        }
        let mut arguments = vec![self.deeper(Self::statement)?];
        while self.accept(";") || functions::takes_several(function) && self.accept(",") {
            arguments.push(self.deeper(Self::statement)?);
        }
        self.close()?;
        Ok(arguments)
    }
}
