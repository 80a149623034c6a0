//! The signs that keyboards, web pages and word processors put in the place of plain ones.

/// The zeros of digits that people calculate with, beside our own: Arabic, Persian, Devanagari, Bengali, Thai.
const ZEROS: [u32; 5] = [0x660, 0x6f0, 0x966, 0x9e6, 0xe50];

/// Spaces that keep a number together, so that they group its digits.
pub const JOINING_SPACES: [char; 4] = ['\u{a0}', '\u{2007}', '\u{2009}', '\u{202f}'];

const SUPERSCRIPTS: &str = "⁰¹²³⁴⁵⁶⁷⁸⁹";

/// The digit that a raised one stands for.
pub fn superscript(c: char) -> Option<char> {
    let value = SUPERSCRIPTS.chars().position(|digit| digit == c)?;
    char::from_digit(value as u32, 10)
}

/// Numerator and denominator of a sign such as ½.
pub fn fraction(c: char) -> Option<(u8, u8)> {
    Some(match c {
        '½' => (1, 2),
        '⅓' => (1, 3),
        '⅔' => (2, 3),
        '¼' => (1, 4),
        '¾' => (3, 4),
        '⅕' => (1, 5),
        '⅖' => (2, 5),
        '⅗' => (3, 5),
        '⅘' => (4, 5),
        '⅙' => (1, 6),
        '⅚' => (5, 6),
        '⅐' => (1, 7),
        '⅛' => (1, 8),
        '⅜' => (3, 8),
        '⅝' => (5, 8),
        '⅞' => (7, 8),
        '⅑' => (1, 9),
        '⅒' => (1, 10),
        _ => return None,
    })
}

/// Whether a character shows nothing, or turns the text around it.
pub fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{fe00}'..='\u{fe0f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// The same text in the signs that the lexer knows.
pub fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            _ if is_invisible(c) => {}
            '×' | '✕' | '✖' | '⨯' | '⋅' | '·' | '∙' | '∗' | '•' | '＊' => plain.push('*'),
            '÷' | '∕' | '⁄' | '➗' => plain.push('/'),
            '−' | '–' | '—' | '‐' | '‑' | '‒' | '﹣' | '➖' => plain.push('-'),
            '﹢' | '➕' => plain.push('+'),
            '→' | '⇒' => plain.push_str("->"),
            '′' | '’' | '‘' => plain.push('\''),
            '″' | '”' | '“' => plain.push('"'),
            '℃' => plain.push_str("°C"),
            '℉' => plain.push_str("°F"),
            '≠' => plain.push_str("!="),
            'º' | '˚' => plain.push('°'),
            '٫' => plain.push('.'),
            '٪' => plain.push('%'),
            '٬' | '،' => plain.push(','),
            '￥' => plain.push('¥'),
            '￡' => plain.push('£'),
            '\u{3000}' => plain.push(' '),
            // The full-width forms of ASCII stand in its order.
            '！'..='～' => plain.extend(char::from_u32(u32::from(c) - 0xfee0)),
            _ => plain.push(
                ZEROS
                    .iter()
                    .find(|&&zero| (zero..zero + 10).contains(&u32::from(c)))
                    .and_then(|zero| char::from_digit(u32::from(c) - zero, 10))
                    .unwrap_or(c),
            ),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makes_signs_plain() {
        assert_eq!(plain("１＋１＝"), "1+1=");
        assert_eq!(plain("3 × 4 ÷ 2 − 1 – 1"), "3 * 4 / 2 - 1 - 1");
        assert_eq!(plain("6′ 1″ and 6’1”"), "6' 1\" and 6'1\"");
        assert_eq!(plain("٣٫٥ + १२"), "3.5 + 12");
        assert_eq!(plain("1\u{200b}2\u{3000}3"), "12 3");
        assert_eq!(superscript('³'), Some('3'));
        assert_eq!(fraction('¾'), Some((3, 4)));
    }
}
