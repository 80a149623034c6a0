//! Why something is not calculated: what the user reads behind the expression.

#[derive(Clone, Debug, PartialEq)]
pub enum Refusal {
    /// There is nothing to calculate.
    Nothing,
    TooBig,
    /// It ends too early, as it does while someone types.
    Incomplete(String),
    Unclear(String),
}

impl Refusal {
    pub fn message(&self) -> &str {
        match self {
            Self::Nothing => "Type a calculation, such as 2+2*3 or 5 km to miles",
            Self::TooBig => "too big or too slow to calculate",
            Self::Incomplete(message) | Self::Unclear(message) => message,
        }
    }
}

pub fn unclear<T>(message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::Unclear(message.into()))
}
