//! Functions: those that fend has, and those made of what it has.

/// fend's own, of one value.
const OF_FEND: [&str; 38] = [
    "abs",
    "acos",
    "acosh",
    "approximately",
    "arg",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "base",
    "cbrt",
    "ceil",
    "cis",
    "conjugate",
    "cos",
    "cosh",
    "exp",
    "fib",
    "fibonacci",
    "floor",
    "imag",
    "ln",
    "log",
    "log10",
    "log2",
    "not",
    "real",
    "roll",
    "round",
    "sample",
    "sin",
    "sinh",
    "sqrt",
    "tan",
    "tanh",
    "factorial",
    "square",
    "cubic",
];

/// Other names of these.
const ALIASES: [(&str, &str); 12] = [
    ("arccos", "acos"),
    ("arcsin", "asin"),
    ("arctan", "atan"),
    ("arcosh", "acosh"),
    ("arsinh", "asinh"),
    ("artanh", "atanh"),
    ("ceiling", "ceil"),
    ("fact", "factorial"),
    ("approx", "approximately"),
    ("√", "sqrt"),
    ("∛", "cbrt"),
    ("average", "avg"),
];

/// Which take several values: the least and the greatest number of them.
const OF_SEVERAL: [(&str, usize, usize); 13] = [
    ("min", 1, 100),
    ("max", 1, 100),
    ("sum", 1, 100),
    ("avg", 1, 100),
    ("mean", 1, 100),
    ("pow", 2, 2),
    ("root", 2, 2),
    ("mod", 2, 2),
    ("hypot", 2, 2),
    ("ncr", 2, 2),
    ("npr", 2, 2),
    ("log", 1, 2),
    ("round", 1, 2),
];

/// The name under which a function is known here.
pub fn canonical(name: &str) -> Option<&'static str> {
    let lower = name.to_lowercase();
    let lower = ALIASES.iter().find(|(alias, _)| *alias == lower).map_or(lower.as_str(), |(_, name)| name);
    OF_FEND.iter().chain(OF_SEVERAL.iter().map(|(name, ..)| name)).find(|name| **name == lower).copied()
}

pub fn is_known(name: &str) -> bool {
    canonical(name).is_some()
}

/// Whether it is a function only where a parenthesis follows: otherwise minutes, the operator, or a word of fend's.
pub fn needs_parenthesis(canonical: &str) -> bool {
    takes_several(canonical) && !matches!(canonical, "log" | "round")
}

pub fn takes_several(name: &str) -> bool {
    canonical(name).is_some_and(|name| OF_SEVERAL.iter().any(|(several, ..)| *several == name))
}

/// The least and the greatest number of values.
pub fn arity(canonical: &str) -> (usize, usize) {
    OF_SEVERAL.iter().find(|(name, ..)| *name == canonical).map_or((1, 1), |&(_, least, most)| (least, most))
}

/// Whether a plain number in it is an angle, which many would give in degrees.
pub fn takes_angle(canonical: &str) -> bool {
    matches!(canonical, "sin" | "cos" | "tan")
}

/// Whether it answers an angle, which many would expect in degrees.
pub fn gives_angle(canonical: &str) -> bool {
    matches!(canonical, "asin" | "acos" | "atan")
}
