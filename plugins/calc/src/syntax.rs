//! What an expression consists of, once it is clear how it is to be read.

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Role {
    Unit,
    Constant,
    /// Given a value, or a parameter of a function, by the expression itself.
    Variable,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Name {
    /// As fend has it.
    pub fend: String,
    /// As people are shown how it was read.
    pub shown: String,
    pub role: Role,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// With a decimal point and without grouping; also with an exponent, or in another base, such as 0x1f.
    Number(String),
    Name(Name),
    /// What is fend's alone: texts, dates and dice.
    Raw(String),
    /// In parentheses, which are respected where what stands in them would be read anew: 1/(2 h).
    Group(Box<Expr>),
    Negative(Box<Expr>),
    Factorial(Box<Expr>),
    Percent(Box<Expr>),
    Power(Box<Expr>, Box<Expr>),
    /// Side by side: a number and its unit, 2 pi, 3 (4 + 5).
    Adjacent(Vec<Expr>),
    /// Quantities that are added up: 6 ft 1 in, 1 1/2.
    Mixed(Vec<Expr>),
    Product(Box<Expr>, Vec<(Multiplicative, Expr)>),
    Sum(Box<Expr>, Vec<(Additive, Expr)>),
    Convert(Box<Expr>, Box<Expr>),
    /// fend's operators that bind less than a sum, and == and !=.
    Binary(&'static str, Box<Expr>, Box<Expr>),
    Call(String, Vec<Expr>),
    /// fend's `mass of earth`.
    Member(String, Box<Expr>),
    Lambda(String, Box<Expr>),
    Assign(String, Box<Expr>),
    Statements(Vec<Expr>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Multiplicative {
    Times,
    Over,
    /// `//`
    Whole,
    Modulo,
    /// 20% of 50
    Of,
    /// 20% off 50
    Off,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Additive {
    Plus,
    Minus,
}

impl Expr {
    pub fn unit(fend: &str, shown: &str) -> Self {
        Self::Name(Name { fend: fend.into(), shown: shown.into(), role: Role::Unit })
    }

    pub fn ungrouped(&self) -> &Self {
        match self {
            Self::Group(x) => x.ungrouped(),
            _ => self,
        }
    }

    /// Whether a unit stands in it, so that it is no plain number.
    pub fn has_unit(&self) -> bool {
        match self {
            Self::Name(name) => name.role == Role::Unit,
            Self::Group(x) | Self::Negative(x) | Self::Factorial(x) | Self::Percent(x) => x.has_unit(),
            Self::Power(base, _) => base.has_unit(),
            Self::Adjacent(parts) | Self::Mixed(parts) => parts.iter().any(Self::has_unit),
            Self::Product(first, rest) => first.has_unit() || rest.iter().any(|(_, x)| x.has_unit()),
            Self::Sum(first, _) => first.has_unit(),
            Self::Convert(_, target) => target.has_unit(),
            Self::Call(_, arguments) => arguments.iter().any(Self::has_unit),
            _ => false,
        }
    }

    /// Whether it is a percentage and nothing else, so that adding it to something means a part of that.
    pub fn is_percentage(&self) -> bool {
        match self {
            Self::Percent(_) => true,
            Self::Group(x) | Self::Negative(x) => x.is_percentage(),
            Self::Sum(first, rest) => first.is_percentage() && rest.iter().all(|(_, x)| x.is_percentage()),
            _ => false,
        }
    }

    /// Whether it is a number that is an angle in radians for want of a unit, and not as a part of pi.
    pub fn is_plain_angle(&self) -> bool {
        !self.has_unit() && !self.mentions_pi() && *self.ungrouped() != Self::Number("0".into())
    }

    fn mentions_pi(&self) -> bool {
        match self {
            Self::Name(name) => name.role == Role::Variable || matches!(name.fend.as_str(), "pi" | "tau" | "τ"),
            Self::Group(x) | Self::Negative(x) => x.mentions_pi(),
            Self::Adjacent(parts) => parts.iter().any(Self::mentions_pi),
            Self::Product(first, rest) => first.mentions_pi() || rest.iter().any(|(_, x)| x.mentions_pi()),
            Self::Sum(first, rest) => first.mentions_pi() || rest.iter().any(|(_, x)| x.mentions_pi()),
            Self::Call(name, _) => crate::functions::gives_angle(name),
            _ => false,
        }
    }
}
