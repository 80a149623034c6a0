//! How an expression was read, for people.

use crate::functions;
use crate::locale::DecimalSign;
use crate::syntax::{Additive, Expr, Multiplicative, Role};
use crate::units;

pub fn print(expr: &Expr, sign: DecimalSign) -> String {
    Printer { sign }.at(expr, 0)
}

/// How tight an expression binds, as people see it.
fn level(expr: &Expr) -> u8 {
    match expr {
        Expr::Lambda(..) | Expr::Assign(..) | Expr::Statements(_) => 0,
        Expr::Binary(..) => 1,
        Expr::Sum(..) | Expr::Convert(..) | Expr::Mixed(_) => 2,
        Expr::Product(..) | Expr::Percent(_) => 3,
        Expr::Adjacent(_) => 4,
        Expr::Group(x) => level(x),
        Expr::Negative(_) => 5,
        Expr::Power(..) | Expr::Factorial(_) => 6,
        Expr::Number(_) | Expr::Name(_) | Expr::Raw(_) | Expr::Call(..) | Expr::Member(..) => 7,
    }
}

fn binds_in_doubt(sign: Multiplicative) -> bool {
    matches!(sign, Multiplicative::Modulo | Multiplicative::Of | Multiplicative::Off)
}

struct Printer {
    sign: DecimalSign,
}

impl Printer {
    fn at(&self, expr: &Expr, least: u8) -> String {
        let text = self.bare(expr);
        if level(expr) < least { format!("({text})") } else { text }
    }

    fn bare(&self, expr: &Expr) -> String {
        match expr {
            Expr::Number(text) if self.sign == DecimalSign::Comma => text.replace('.', ","),
            Expr::Number(text) | Expr::Raw(text) => text.clone(),
            Expr::Name(name) => name.shown.clone(),
            Expr::Group(x) => self.bare(x),
            Expr::Negative(x) => format!("-{}", self.at(x, 7)),
            Expr::Factorial(x) => format!("{}!", self.at(x, 7)),
            Expr::Percent(x) => format!("{} / 100", self.at(x, 4)),
            Expr::Power(base, exponent) => format!("{}^{}", self.at(base, 7), self.at(exponent, 7)),
            Expr::Adjacent(parts) => self.adjacent(parts),
            Expr::Mixed(parts) => parts.iter().map(|x| self.at(x, 3)).collect::<Vec<_>>().join(" + "),
            Expr::Product(first, rest) => self.product(first, rest),
            Expr::Sum(first, rest) => self.sum(first, rest),
            Expr::Convert(value, target) => format!("{} to {}", self.at(value, 2), self.at(target, 3)),
            Expr::Binary(sign, left, right) => {
                let least = if matches!(*sign, "==" | "!=") { 2 } else { 4 };
                let sign = if *sign == "!=" { "≠" } else { sign };
                format!("{} {sign} {}", self.at(left, least), self.at(right, least))
            }
            Expr::Call(function, arguments) => self.call(function, arguments),
            Expr::Member(name, object) => format!("{name} of {}", self.at(object, 7)),
            Expr::Lambda(name, body) => format!("{name}: {}", self.at(body, 0)),
            Expr::Assign(name, value) => format!("{name} = {}", self.at(value, 0)),
            Expr::Statements(list) => list.iter().map(|x| self.at(x, 0)).collect::<Vec<_>>().join("; "),
        }
    }

    fn adjacent(&self, parts: &[Expr]) -> String {
        if let [amount, Expr::Name(currency)] = parts
            && currency.shown.chars().count() == 1
            && units::is_currency(&currency.shown)
        {
            return format!("{}{}", currency.shown, self.at(amount, 7));
        }
        let mut text = self.at(&parts[0], 6);
        for pair in parts.windows(2) {
            let is_named = match &pair[1] {
                // (2^2) pi, and not 2^(2 pi); km × t
                Expr::Name(name) if name.role == Role::Unit => {
                    !matches!(&pair[0], Expr::Name(before) if before.role == Role::Unit)
                }
                Expr::Name(_) => !matches!(pair[0], Expr::Power(..)),
                Expr::Power(base, _) => matches!(**base, Expr::Name(_)),
                _ => false,
            };
            let applies = matches!(&pair[0], Expr::Name(name) if name.role == Role::Variable);
            text.push_str(if is_named || applies { " " } else { " × " });
            text.push_str(&self.at(&pair[1], 6));
        }
        text
    }

    fn product(&self, first: &Expr, rest: &[(Multiplicative, Expr)]) -> String {
        // 20% of 50 is shown as it is written; elsewhere a percentage is a number.
        let of = |x: &Expr| match x.ungrouped() {
            Expr::Percent(x) => format!("{}%", self.at(x, 6)),
            _ => self.at(x, 3),
        };
        let mut text = match rest[0].0 {
            Multiplicative::Of | Multiplicative::Off => of(first),
            _ if first.is_percentage() => self.at(first, 4),
            _ => self.at(first, 3),
        };
        let mut divided = false;
        for (number, (sign, factor)) in rest.iter().enumerate() {
            // (6 / 2) × 3, (2 × 7) mod 4: that it goes from the left to the right is just what may be in doubt.
            if divided || number > 0 && *sign == Multiplicative::Modulo {
                text = format!("({text})");
            }
            divided = matches!(sign, Multiplicative::Over | Multiplicative::Modulo);
            let least =
                if matches!(sign, Multiplicative::Times | Multiplicative::Of | Multiplicative::Off) { 4 } else { 5 };
            let factor = self.at(factor, least);
            // (8^1) / 3, and not 8^(1 / 3)
            if number == 0 && *sign == Multiplicative::Over && matches!(first, Expr::Power(..)) {
                text = format!("({text})");
            }
            match sign {
                Multiplicative::Times => text = format!("{text} × {factor}"),
                Multiplicative::Over => text = format!("{text} / {factor}"),
                Multiplicative::Modulo => text = format!("{text} mod {factor}"),
                Multiplicative::Whole => text = format!("floor({text} / {factor})"),
                Multiplicative::Of => text = format!("{text} of {factor}"),
                Multiplicative::Off => text = format!("{text} off {factor}"),
            }
        }
        text
    }

    fn sum(&self, first: &Expr, rest: &[(Additive, Expr)]) -> String {
        // 2 + (7 mod 3), (20% of 50) + 10
        let term_at = |x: &Expr| match x {
            Expr::Product(_, rest) if rest.iter().any(|(sign, _)| binds_in_doubt(*sign)) => self.at(x, 4),
            _ => self.at(x, 3),
        };
        let mut text = if matches!(first, Expr::Product(..)) { term_at(first) } else { self.at(first, 2) };
        let mut before = self.at(first, 4);
        let mut percentages = first.is_percentage();
        for (sign, term) in rest {
            let sign = if *sign == Additive::Plus { "+" } else { "-" };
            let is_percentage = term.is_percentage();
            let term = match term.ungrouped() {
                Expr::Percent(x) if !percentages => format!("{}% of {before}", self.at(x, 6)),
                _ if is_percentage && !percentages => format!("({}) of {before}", self.at(term, 0)),
                _ => term_at(term),
            };
            text = format!("{text} {sign} {term}");
            before = format!("({text})");
            percentages &= is_percentage;
        }
        text
    }

    fn call(&self, function: &str, arguments: &[Expr]) -> String {
        let separator = if self.sign == DecimalSign::Comma { "; " } else { ", " };
        let values = arguments.iter().map(|x| self.at(x, 0)).collect::<Vec<_>>().join(separator);
        if functions::takes_angle(function) && arguments[0].is_plain_angle() {
            return format!("{function}({values} rad)");
        }
        if functions::gives_angle(function) {
            return format!("{function}({values}) in radians");
        }
        let function = if function == "log" && arguments.len() == 1 { "log10" } else { function };
        format!("{function}({values})")
    }
}
