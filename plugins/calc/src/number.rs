//! Numbers as people write them: 1,5 and 1.5, 1,234,567.89 and 1.234.567,89, 1 000 000, 1'000, 1_000.

use crate::locale::DecimalSign;
use crate::refusal::{Refusal, unclear};
use crate::signs::JOINING_SPACES;

pub struct Reading {
    /// With a point before the decimals, and no grouping.
    pub text: String,
    /// Characters that it takes.
    pub length: usize,
    /// Whether it has another common reading.
    pub noted: bool,
    /// The decimal sign that it gives away, where another number may leave it open.
    pub evidence: Option<DecimalSign>,
}

/// Digits and what stands between them: the first group, then each separator with the group behind it.
struct Groups {
    first: String,
    rest: Vec<(char, String)>,
    length: usize,
    trailing_point: bool,
}

fn digits(text: &[char]) -> String {
    text.iter().take_while(|c| c.is_ascii_digit()).collect()
}

/// The number at the start of a text. A comma is a separator of arguments where it can't be a part of one.
pub fn read(text: &[char], sign: DecimalSign, comma_separates: bool) -> Result<Reading, Refusal> {
    let mut groups = split(text, comma_separates);
    let all = |groups: &Groups| text[..groups.length].iter().collect::<String>();
    if text[groups.length..].starts_with(&['.']) {
        return unclear(format!("{}. is not a number", all(&groups)));
    }
    // Spaces and apostrophes can only group.
    let joins = groups.rest.iter().take_while(|(c, _)| !matches!(c, '.' | ',')).count();
    let mut noted = false;
    if joins > 0 {
        noted = groups.rest[..joins].iter().any(|(c, _)| !JOINING_SPACES.contains(c));
        let joined: String = groups.rest.drain(..joins).map(|(_, digits)| digits).collect();
        groups.first.push_str(&joined);
        if groups.rest.len() > 1 {
            return unclear(format!("{} can be read in several ways", all(&groups)));
        }
    }
    let (whole, decimals, other, evidence) = decide(&groups, sign, joins > 0)
        .ok_or_else(|| Refusal::Unclear(format!("{} can be read in several ways", all(&groups))))?;
    let mut length = groups.length;
    let mut number = if whole.is_empty() { "0".to_string() } else { whole };
    // 007, 010, the month of a date: read as any other number, but seldom meant so.
    noted |= other || number.len() > 1 && number.starts_with('0');
    let zeros = number.len() - number.trim_start_matches('0').len();
    number.drain(..zeros.min(number.len() - 1));
    if !decimals.is_empty() {
        number.push('.');
        number.push_str(&decimals);
    }
    if let Some((exponent, taken)) = exponent(&text[length..])
        && !groups.trailing_point
    {
        length += taken;
        if exponent.trim_start_matches('-').len() > 6 {
            return Err(Refusal::TooBig);
        }
        number.push('e');
        number.push_str(&exponent);
        if matches!(text.get(length), Some('.')) {
            return unclear("an exponent is a whole number");
        }
    }
    Ok(Reading { text: number, length, noted, evidence })
}

fn split(text: &[char], comma_separates: bool) -> Groups {
    let first = digits(text);
    let mut at = first.len();
    let mut groups = Groups { first, rest: vec![], length: at, trailing_point: false };
    while let Some(&c) = text.get(at) {
        let group = digits(&text[at + 1..]);
        let next = text.get(at + 1 + group.len());
        let has_decimals = groups.rest.iter().any(|(c, _)| matches!(c, '.' | ','));
        // A group after a space or an apostrophe has three digits, and no others stand near: not so in 6'100" or 1 2.
        let joins = || {
            let last = groups.rest.last().map_or(&groups.first, |(_, group)| group);
            let fits = if groups.rest.is_empty() { (1..=3).contains(&last.len()) } else { last.len() == 3 };
            fits && !has_decimals && !groups.first.starts_with('0') && group.len() == 3
        };
        match c {
            '_' if !group.is_empty() && !groups.first.is_empty() => {
                groups.rest.last_mut().map_or(&mut groups.first, |(_, last)| last).push_str(&group);
                at += 1 + group.len();
                groups.length = at;
                continue;
            }
            '.' if group.is_empty() && !groups.first.is_empty() && groups.rest.is_empty() => {
                groups.trailing_point = true;
                groups.length = at + 1;
                break;
            }
            '.' if !group.is_empty() => {}
            ',' if !group.is_empty() && !comma_separates => {}
            '\'' if joins() && next != Some(&'"') => {}
            _ if (c == ' ' || JOINING_SPACES.contains(&c)) && joins() => {}
            _ => break,
        }
        at += 1 + group.len();
        groups.length = at;
        groups.rest.push((c, group));
    }
    groups
}

/// The whole part, the decimals, whether another reading is common, and the decimal sign that is certain.
fn decide(groups: &Groups, sign: DecimalSign, joined: bool) -> Option<(String, String, bool, Option<DecimalSign>)> {
    let decimal = |c| if c == ',' { DecimalSign::Comma } else { DecimalSign::Point };
    let whole = |rest: &[(char, String)]| {
        groups.first.chars().chain(rest.iter().flat_map(|(_, group)| group.chars())).collect::<String>()
    };
    let (&(last, ref group), before) = match groups.rest.split_last() {
        None => return Some((groups.first.clone(), String::new(), false, None)),
        Some(split) => split,
    };
    let certain = decimal(last);
    let three = (1..=3).contains(&groups.first.len()) && !groups.first.starts_with('0');
    if before.is_empty() {
        if three && group.len() == 3 && !joined {
            // 1,234 and 1.234: by the locale, or by what the rest of the expression gives away.
            let is_decimal = certain == sign;
            return Some(if is_decimal {
                (groups.first.clone(), group.clone(), false, None)
            } else {
                (whole(&groups.rest), String::new(), true, None)
            });
        }
        return Some((groups.first.clone(), group.clone(), certain != sign && last == ',', Some(certain)));
    }
    let grouping = before[0].0;
    if before.iter().any(|&(c, _)| c != grouping) {
        return None;
    }
    // In groups of three, or as in India the last of three and those before it of two.
    let western = |rest: &[(char, String)]| three && rest.iter().all(|(_, group)| group.len() == 3);
    let indian = |rest: &[(char, String)]| {
        let (last, others) = rest.split_last().expect("there are groups");
        let lakhs = others.iter().all(|(_, group)| group.len() == 2) && !others.is_empty();
        grouping == ',' && last.1.len() == 3 && lakhs && (1..=2).contains(&groups.first.len())
    };
    if last == grouping {
        let fits = western(&groups.rest);
        let evidence = Some(certain.other());
        return (fits || indian(&groups.rest)).then(|| (whole(&groups.rest), String::new(), !fits, evidence));
    }
    let fits = western(before);
    (fits || indian(before)).then(|| (whole(before), group.clone(), !fits || certain != sign, Some(certain)))
}

/// What follows as `e-3` does, and its length.
fn exponent(text: &[char]) -> Option<(String, usize)> {
    let (&['e' | 'E'], rest) = text.split_at_checked(1)? else { return None };
    let signed = matches!(rest.first(), Some('+' | '-'));
    let digits = digits(&rest[usize::from(signed)..]);
    if digits.is_empty() {
        return None;
    }
    let minus = if rest[0] == '-' { "-" } else { "" };
    Some(([minus, &digits].concat(), 1 + usize::from(signed) + digits.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str, sign: DecimalSign) -> Option<(String, bool)> {
        let chars: Vec<char> = text.chars().collect();
        let reading = read(&chars, sign, false).ok()?;
        (reading.length == chars.len()).then_some((reading.text, reading.noted))
    }

    #[test]
    fn reads_what_has_one_reading_the_same_everywhere() {
        for (text, expected) in [
            ("1234", "1234"),
            ("1.5", "1.5"),
            ("1,234,567.89", "1234567.89"),
            ("1.234.567,89", "1234567.89"),
            ("1.234.567", "1234567"),
            ("1 000 000", "1000000"),
            ("1\u{202f}000,5", "1000.5"),
            ("1'000'000.50", "1000000.50"),
            ("1_000_0", "10000"),
            ("0,125", "0.125"),
            ("1234,567", "1234.567"),
            ("12,34,567.5", "1234567.5"),
            (".5", "0.5"),
            (",5", "0.5"),
            ("5.", "5"),
            ("1e-3", "1e-3"),
            ("1E+3", "1e3"),
            ("1,5e3", "1.5e3"),
            ("0", "0"),
            ("007", "7"),
        ] {
            for sign in [DecimalSign::Point, DecimalSign::Comma] {
                assert_eq!(number(text, sign).map(|(text, _)| text).as_deref(), Some(expected), "{text}");
            }
        }
    }

    #[test]
    fn reads_what_the_locale_decides_and_says_so_where_it_may_be_meant_otherwise() {
        let (point, comma) = (DecimalSign::Point, DecimalSign::Comma);
        for (text, sign, expected, noted) in [
            ("1,234", point, "1234", true),
            ("1,234", comma, "1.234", false),
            ("1.234", point, "1.234", false),
            ("1.234", comma, "1234", true),
            ("1,5", point, "1.5", true),
            ("1,5", comma, "1.5", false),
            ("1.5", comma, "1.5", false),
            ("1,234.5", comma, "1234.5", true),
        ] {
            assert_eq!(number(text, sign), Some((expected.into(), noted)), "{text} {sign:?}");
        }
    }

    #[test]
    fn never_joins_what_is_not_one_number() {
        for text in ["1,2,3", "1.2.3", "1,23.4", "1..2", "1 2", "1 00", "1 0000", "1.5.", "1'00", "1e3.5", "1,234.5,6"]
        {
            assert_eq!(number(text, DecimalSign::Point), None, "{text}");
        }
    }
}
