//! Operands: numbers with their units, powers, parentheses, functions.

use super::Parser;
use crate::functions;
use crate::lexer::Token;
use crate::refusal::{Refusal, unclear};
use crate::syntax::{Expr, Multiplicative, Name, Role};
use crate::units;

impl Parser<'_> {
    /// What stands side by side, with its sign: 5 km, 6 ft 1 in, 2 pi, 3 (4 + 5), 1 1/2.
    pub(super) fn adjacent(&mut self) -> Result<Expr, Refusal> {
        if self.accept("-") {
            let value = self.deeper(Self::adjacent)?;
            // -2^2 is -4, but 4 for some programs.
            self.noted |= matches!(value, Expr::Power(..) | Expr::Factorial(..));
            return Ok(Expr::Negative(Box::new(value)));
        }
        if self.accept("+") {
            return self.deeper(Self::adjacent);
        }
        let mut quantities = vec![];
        let mut parts = vec![self.currency_or_power()?];
        loop {
            if self.is_inch(&parts) {
                parts.push(self.power()?);
                // 10 in cm lacks a word, but can mean one thing only.
                if matches!(self.peek(), Some(Token::Name(_))) && !self.is_word(0) {
                    self.noted = true;
                    self.implied_target = true;
                    break;
                }
                continue;
            }
            match self.peek() {
                Some(Token::Number(_) | Token::Fraction(..)) => {
                    if let Some(mixed) = self.mixed_number(&parts)? {
                        parts = vec![mixed];
                        continue;
                    }
                    // A function that the expression itself defines.
                    if let [Expr::Name(Name { role: Role::Variable, .. })] = parts[..] {
                        let argument = self.power()?;
                        parts.push(argument);
                        continue;
                    }
                    let is_quantity = parts.len() > 1 && matches!(parts[0], Expr::Number(_) | Expr::Mixed(_));
                    if !is_quantity || !parts[1..].iter().all(Expr::has_unit) {
                        let token = self.peek().expect("there is one").clone();
                        return Err(self.unexpected(&token));
                    }
                    quantities.push(finish(std::mem::take(&mut parts)));
                    parts.push(self.power()?);
                }
                Some(Token::Sign("'" | "\"")) if self.tokens[self.at - 1] != Token::Sign(")") => {
                    let unit = self.prime(&quantities);
                    parts.push(unit);
                }
                Some(Token::Time(_) | Token::Raw(_)) => {
                    let token = self.peek().expect("there is one").clone();
                    return Err(self.unexpected(&token));
                }
                _ if self.begins_operand(0) => {
                    let named = matches!(self.peek(), Some(Token::Name(_)));
                    let part = match self.minutes(&quantities, &parts) {
                        Some(minutes) => minutes,
                        None => self.power()?,
                    };
                    // 1.5(2) is a repeating decimal for some.
                    self.noted |= !named && matches!(&parts[..], [Expr::Number(text)] if text.contains('.'));
                    // 2^2pi and 2^2(3) may be meant as 2^(2pi); 3^2 m is nothing else.
                    let is_unit = matches!(&part, Expr::Name(Name { role: Role::Unit, .. }));
                    self.noted |= matches!(parts[parts.len() - 1], Expr::Power(..)) && !(named && is_unit);
                    // 5 km t, as while someone types "to": tonnes.
                    self.noted |=
                        is_unit && matches!(&parts[parts.len() - 1], Expr::Name(Name { role: Role::Unit, .. }));
                    parts.push(part);
                }
                _ => break,
            }
        }
        if quantities.is_empty() {
            return Ok(finish(parts));
        }
        // 6 ft 1 and 5'11 go on in inches; 2 h 30 does not say in what.
        if parts.len() == 1 {
            match &quantities[quantities.len() - 1] {
                Expr::Adjacent(last) if matches!(&last[1..], [Expr::Name(unit)] if units::is_feet(&unit.fend)) => {
                    self.noted = true;
                    parts.push(Expr::unit("inch", "in"));
                }
                _ => return unclear("there is a number without a unit behind one with a unit"),
            }
        }
        quantities.push(finish(parts));
        Ok(Expr::Mixed(quantities))
    }

    /// Whether the word `in` here is the unit: behind a number it is, unless a format follows.
    fn is_inch(&self, parts: &[Expr]) -> bool {
        if !self.is_at(0, "in") || !matches!(parts, [Expr::Number(_) | Expr::Mixed(_)]) {
            return false;
        }
        match self.ahead(1) {
            Some(Token::Name(next)) => self.is_word(1) || !units::is_format(next),
            Some(Token::Number(_)) => !matches!(self.ahead(2), Some(Token::Name(name)) if name == "dp" || name == "sf"),
            Some(Token::Sign("%")) => false,
            _ => true,
        }
    }

    /// In 1 h 30 m the m are minutes.
    fn minutes(&mut self, quantities: &[Expr], parts: &[Expr]) -> Option<Expr> {
        let [.., Expr::Adjacent(last)] = quantities else { return None };
        let Some(Expr::Name(unit)) = last.last() else { return None };
        let is_m = matches!(self.peek(), Some(Token::Name(name)) if name == "m");
        if parts.len() != 1 || !is_m || !units::is_longer_than_minutes(&unit.fend) {
            return None;
        }
        self.at += 1;
        self.noted = true;
        Some(Expr::unit("min", "min"))
    }

    /// ' and " are feet and inches, but behind degrees minutes and seconds of arc.
    fn prime(&mut self, quantities: &[Expr]) -> Expr {
        let is_arc = match quantities.first() {
            Some(Expr::Adjacent(parts)) => matches!(&parts[1], Expr::Name(unit) if units::is_degree(&unit.fend)),
            _ => false,
        };
        let minutes = self.is_at(0, "'");
        self.at += 1;
        match (is_arc, minutes) {
            (false, true) => Expr::unit("ft", "ft"),
            (false, false) => Expr::unit("inch", "in"),
            (true, true) => Expr::unit("arcmin", "arcmin"),
            (true, false) => Expr::unit("arcsec", "arcsec"),
        }
    }

    /// 1 1/2 or 1½, if that is what stands here.
    fn mixed_number(&mut self, parts: &[Expr]) -> Result<Option<Expr>, Refusal> {
        let [Expr::Number(whole)] = parts else { return Ok(None) };
        let is_whole = |text: &str| text.bytes().all(|c| c.is_ascii_digit());
        let (top, bottom, length) = match (self.peek(), self.ahead(1), self.ahead(2)) {
            (Some(Token::Fraction(top, bottom)), ..) => (top.to_string(), bottom.to_string(), 1),
            (Some(Token::Number(top)), Some(Token::Sign("/")), Some(Token::Number(bottom))) => {
                (top.clone(), bottom.clone(), 3)
            }
            _ => return Ok(None),
        };
        if ![whole, &top, &bottom].into_iter().all(|text| is_whole(text)) {
            return Ok(None);
        }
        self.at += length;
        self.noted |= length > 1;
        Ok(Some(Expr::Mixed(vec![parts[0].clone(), over(Expr::Number(top), Expr::Number(bottom))])))
    }

    /// $5, or anything else.
    fn currency_or_power(&mut self) -> Result<Expr, Refusal> {
        if let Some(Token::Name(sign)) = self.peek()
            && units::is_currency(sign)
            && matches!(self.ahead(1), Some(Token::Number(_)))
        {
            let (unit, _) = units::read(sign)?;
            self.at += 1;
            let amount = self.power()?;
            return Ok(Expr::Adjacent(vec![amount, unit]));
        }
        self.power()
    }

    pub(super) fn power(&mut self) -> Result<Expr, Refusal> {
        let base = self.postfix()?;
        if !self.accept("^") {
            return Ok(base);
        }
        let exponent = self.deeper(Self::exponent)?;
        // 2^3^2 is 2^9, but 8^2 for some programs; 2^3! is 2^6.
        self.noted |= matches!(exponent, Expr::Power(..) | Expr::Factorial(..) | Expr::Percent(_));
        // In 5k^2 the power could be one of the 5k.
        self.noted |= matches!(&base, Expr::Name(name) if units::is_scale(&name.fend));
        Ok(Expr::Power(Box::new(base), Box::new(exponent)))
    }

    pub(super) fn exponent(&mut self) -> Result<Expr, Refusal> {
        if self.accept("-") {
            return Ok(Expr::Negative(Box::new(self.deeper(Self::exponent)?)));
        }
        if self.accept("+") {
            return self.deeper(Self::exponent);
        }
        self.power()
    }

    fn postfix(&mut self) -> Result<Expr, Refusal> {
        let mut value = self.deeper(Self::primary)?;
        let mut length = 0;
        loop {
            length += 1;
            if length > 20 {
                return Err(Refusal::TooBig);
            }
            if self.accept("!") {
                // 5!! is 120!, but 15 for mathematicians.
                self.noted |= matches!(value, Expr::Factorial(_));
                value = Expr::Factorial(Box::new(value));
            } else if let Some(Token::Raised(power)) = self.peek().cloned() {
                self.at += 1;
                let exponent = match power.strip_prefix('-') {
                    Some(digits) => Expr::Negative(Box::new(Expr::Number(digits.into()))),
                    None => Expr::Number(power.clone()),
                };
                if !power.trim_start_matches('-').bytes().all(|c| c.is_ascii_digit()) || power == "-" {
                    return unclear(format!("the power {power} is not understood"));
                }
                value = Expr::Power(Box::new(value), Box::new(exponent));
            } else if self.is_at(0, "%") && self.is_percent() {
                if matches!(value, Expr::Percent(_)) {
                    return unclear("%% is not understood");
                }
                self.at += 1;
                value = Expr::Percent(Box::new(value));
            } else {
                return Ok(value);
            }
        }
    }

    /// Whether the % here makes a percentage. With an operand behind it, it is the remainder of a division.
    fn is_percent(&self) -> bool {
        !self.begins_operand(1)
    }

    fn primary(&mut self) -> Result<Expr, Refusal> {
        let token = self.peek().cloned().ok_or_else(|| self.missing())?;
        match token {
            Token::Number(text) => {
                self.at += 1;
                Ok(Expr::Number(text))
            }
            Token::Fraction(top, bottom) => {
                self.at += 1;
                Ok(over(Expr::Number(top.to_string()), Expr::Number(bottom.to_string())))
            }
            Token::Raw(text) => {
                self.at += 1;
                Ok(Expr::Raw(text))
            }
            Token::Time(parts) => self.time(&parts),
            Token::Sign("(") => {
                self.at += 1;
                let inner = self.deeper(Self::statement)?;
                self.close()?;
                Ok(Expr::Group(Box::new(inner)))
            }
            Token::Name(name) => self.name(&name),
            Token::Sign(")") if self.at > 0 => Err(self.missing()),
            _ => Err(self.unexpected(&token)),
        }
    }

    /// A parenthesis that is still open at the end counts as closed, as it is while someone types.
    pub(super) fn close(&mut self) -> Result<(), Refusal> {
        match self.peek().cloned() {
            None => Ok(()),
            Some(Token::Sign(")")) => {
                self.at += 1;
                Ok(())
            }
            Some(token) => Err(self.unexpected(&token)),
        }
    }

    /// 1:30 are hours and minutes, but minutes and seconds before `min`.
    fn time(&mut self, parts: &[String]) -> Result<Expr, Refusal> {
        self.at += 1;
        self.noted = true;
        let mut units = ["h", "min", "s"].as_slice();
        if let Some(Token::Name(name)) = self.peek() {
            match name.to_lowercase().as_str() {
                "am" | "pm" => return unclear("times of the day are not understood"),
                "h" | "hr" | "hrs" | "hour" | "hours" => self.at += 1,
                "min" | "mins" | "minute" | "minutes" if parts.len() == 2 => {
                    self.at += 1;
                    units = &units[1..];
                }
                _ => {}
            }
        }
        let number = |text: &String| {
            let digits = text.trim_start_matches('0');
            Expr::Number(if digits.is_empty() { "0".into() } else { digits.into() })
        };
        let quantity = |(part, unit): (&String, &&str)| Expr::Adjacent(vec![number(part), Expr::unit(unit, unit)]);
        Ok(Expr::Mixed(parts.iter().zip(units).map(quantity).collect()))
    }

    fn name(&mut self, name: &str) -> Result<Expr, Refusal> {
        let after_number = self.at > 0 && matches!(self.tokens[self.at - 1], Token::Number(_));
        if self.defined.iter().any(|defined| defined == name) {
            self.at += 1;
            return Ok(Expr::Name(Name { fend: name.into(), shown: name.into(), role: Role::Variable }));
        }
        // sq ft, square metres, cubic inches
        let power = match name.to_lowercase().as_str() {
            "sq" | "square" => Some("2"),
            "cu" | "cubic" => Some("3"),
            _ => None,
        };
        if let (Some(power), Some(Token::Name(unit))) = (power, self.ahead(1).cloned()) {
            self.at += 2;
            let (unit, noted) = units::read(&unit)?;
            self.noted |= noted;
            return Ok(Expr::Power(Box::new(unit), Box::new(Expr::Number(power.into()))));
        }
        if let Some(Token::Name(ounce)) = self.ahead(1)
            && matches!(name.to_lowercase().as_str(), "fl" | "fluid")
            && matches!(ounce.to_lowercase().as_str(), "oz" | "ounce" | "ounces")
        {
            self.at += 2;
            self.noted = true;
            return Ok(units::read("floz")?.0);
        }
        if let Some(function) = functions::canonical(name)
            && (!functions::needs_parenthesis(function) || self.is_at(1, "(") && !after_number)
        {
            self.at += 1;
            return self.call(function);
        }
        if units::is_degree(name)
            && let Some(Token::Name(letter)) = self.ahead(1)
            && let Some(scale) = units::temperature(letter)
        {
            self.at += 2;
            return Ok(Expr::unit(scale, scale));
        }
        if self.is_word(0) && !name.eq_ignore_ascii_case("in") {
            return Err(self.unexpected(&Token::Name(name.into())));
        }
        self.at += 1;
        if self.is_at(0, "of") && !units::is_format(name) {
            self.at += 1;
            let object = self.deeper(Self::primary)?;
            return Ok(Expr::Member(name.into(), Box::new(object)));
        }
        let (unit, noted) = units::read(if name.eq_ignore_ascii_case("in") { "in" } else { name })?;
        self.noted |= noted;
        self.kelvin |= name == "K";
        Ok(unit)
    }
}

fn over(top: Expr, bottom: Expr) -> Expr {
    Expr::Product(Box::new(top), vec![(Multiplicative::Over, bottom)])
}

fn finish(mut parts: Vec<Expr>) -> Expr {
    if parts.len() == 1 { parts.remove(0) } else { Expr::Adjacent(parts) }
}
