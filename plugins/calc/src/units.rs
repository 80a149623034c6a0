//! Names of units and constants, as people write them and as fend has them.

use fend_core::Context;

use crate::budget::Budget;
use crate::refusal::{Refusal, unclear};
use crate::syntax::{Expr, Multiplicative, Name, Role};

/// Signs of currencies. Without exchange rates each is a unit that nothing converts.
pub const CURRENCY_SIGNS: &str = "$€£¥₹₽₩₪₫₴₦₱฿₺";

const CURRENCY_CODES: &str = " AUD BRL CAD CHF CNY CZK DKK EUR GBP HKD HUF ILS INR JPY KRW MXN NOK NZD PLN RON RUB SEK \
    SGD TRY UAH USD ZAR ";

/// What fend reads as it should, but is often meant otherwise: with what is said about it.
const OFTEN_MEANT_OTHERWISE: [(&str, &str); 73] = [
    ("M", "million"),
    ("G", "billion"),
    ("T", "trillion"),
    ("b", "bits"),
    ("c", "× the speed of light"),
    ("Mm", "megametres"),
    ("Mg", "megagrams"),
    ("Ms", "megaseconds"),
    ("MS", "megasiemens"),
    ("ML", "megalitres"),
    ("Ml", "megalitres"),
    ("nm", "nanometres"),
    ("gal", "US gallon"),
    ("gallon", "US gallon"),
    ("gallons", "US gallons"),
    ("mpg", "miles per US gallon"),
    ("quart", "US quart"),
    ("quarts", "US quarts"),
    ("qt", "US quart"),
    ("pint", "US pint"),
    ("pints", "US pints"),
    ("pt", "US pint"),
    ("floz", "US fluid ounce"),
    ("month", "twelfth of a year"),
    ("months", "twelfths of a year"),
    ("mo", "twelfth of a year"),
    ("P", "poises"),
    ("hp", "horsepower of 745.7 W"),
    ("horsepower", "horsepower of 745.7 W"),
    ("cup", "US cup"),
    ("cups", "US cups"),
    ("tbsp", "US tablespoons"),
    ("tablespoon", "US tablespoon"),
    ("tablespoons", "US tablespoons"),
    ("tsp", "US teaspoons"),
    ("teaspoon", "US teaspoon"),
    ("teaspoons", "US teaspoons"),
    ("gill", "US gill"),
    ("cwt", "US hundredweight"),
    ("hundredweight", "US hundredweight"),
    ("tbs", "US tablespoons"),
    ("fluid_ounce", "US fluid ounce"),
    ("fluid_dram", "US fluid dram"),
    ("oz", "ounces of 28.35 g"),
    ("ounce", "ounce of 28.35 g"),
    ("ounces", "ounces of 28.35 g"),
    ("dram", "dram of 1.77 g"),
    ("drams", "drams of 1.77 g"),
    ("hundredweights", "US hundredweights"),
    ("horsepowers", "horsepowers of 745.7 W"),
    ("mil", "thousandth of an inch"),
    ("mils", "thousandths of an inch"),
    ("ell", "English ell"),
    ("ells", "English ells"),
    ("league", "league of 3 miles"),
    ("leagues", "leagues of 3 miles"),
    ("rpm", "(2 pi / min)"),
    ("rps", "(2 pi / s)"),
    ("ppt", "parts in 10^12"),
    ("year", "year of 365.2422 days"),
    ("years", "years of 365.2422 days"),
    ("yr", "years of 365.2422 days"),
    ("decade", "decade of 3652.422 days"),
    ("decades", "decades of 3652.422 days"),
    ("century", "century of 36524.22 days"),
    ("centuries", "centuries of 36524.22 days"),
    ("billion", "× 10^9"),
    ("trillion", "× 10^12"),
    ("quadrillion", "× 10^15"),
    ("quintillion", "× 10^18"),
    ("cal", "calories of 4.184 J"),
    ("calorie", "calorie of 4.184 J"),
    ("calories", "calories of 4.184 J"),
];

/// Names that are no units: in 1/2 pi the 1/2 is a factor.
const CONSTANTS: &str = " pi π tau τ e phi i true false k M G T hundred thousand million billion trillion quadrillion \
    quintillion dozen (1e5) (1e7) ans _ ";

/// Whether it belongs to the number before it as zeros would.
pub fn is_scale(name: &str) -> bool {
    matches!(
        name,
        "k" | "M"
            | "G"
            | "T"
            | "hundred"
            | "thousand"
            | "million"
            | "billion"
            | "trillion"
            | "dozen"
            | "(1e5)"
            | "(1e7)"
    )
}

const ALIASES: [(&str, &str); 14] = [
    ("Ω", "ohm"),
    ("kΩ", "kiloohm"),
    ("MΩ", "megaohm"),
    ("f", "°F"),
    ("inchs", "inches"),
    ("foots", "feet"),
    ("π", "pi"),
    ("Pi", "pi"),
    ("PI", "pi"),
    ("centigrade", "°C"),
    ("Kelvin", "K"),
    ("kelvins", "K"),
    ("kilo", "kg"),
    ("kilos", "kg"),
];

/// A letter or word for a temperature. Letters count only where both sides of a conversion are one.
pub fn temperature(name: &str) -> Option<&'static str> {
    Some(match name {
        "c" | "C" | "°C" | "celsius" | "Celsius" | "centigrade" | "oC" | "degC" | "degc" => "°C",
        "f" | "F" | "°F" | "fahrenheit" | "Fahrenheit" | "oF" | "degF" | "degf" => "°F",
        "k" | "K" | "kelvin" | "Kelvin" | "kelvins" | "°K" | "degK" => "K",
        _ => return None,
    })
}

/// Whether minutes may follow as in 1 h 30 m.
pub fn is_longer_than_minutes(name: &str) -> bool {
    matches!(name, "h" | "hr" | "hrs" | "hour" | "hours" | "d" | "day" | "days")
}

pub fn is_feet(name: &str) -> bool {
    matches!(name, "ft" | "foot" | "feet" | "'")
}

pub fn is_degree(name: &str) -> bool {
    matches!(name, "°" | "deg" | "degs" | "degree" | "degrees")
}

/// Whether fend takes it as a way to show a number, rather than as a unit.
pub fn is_format(name: &str) -> bool {
    const FORMATS: &str = " hex hexadecimal bin binary oct octal dec decimal base words roman roman_numeral frac \
        fraction mixed_frac mixed_fraction float exact auto percent string text char character date codepoint bool ";
    FORMATS.contains(&[" ", name, " "].concat())
}

/// A unit with its power, such as m2 or cm3: the unit and the power.
fn power(name: &str) -> Option<(&str, &str)> {
    let unit = name.strip_suffix(['2', '3'])?;
    const POWERED: &str = " nm um µm mm cm dm m km in ft yd mi ";
    POWERED.contains(&[" ", unit, " "].concat()).then(|| (unit, &name[unit.len()..]))
}

pub fn is_power(name: &str) -> bool {
    power(name).is_some()
}

fn named(fend: &str, shown: &str) -> Expr {
    let role = if CONSTANTS.contains(&[" ", fend, " "].concat()) { Role::Constant } else { Role::Unit };
    Expr::Name(Name { fend: fend.into(), shown: shown.into(), role })
}

/// How a name is read, and whether it has another common reading.
pub fn read(name: &str) -> Result<(Expr, bool), Refusal> {
    if let Some((unit, power)) = power(name) {
        let (unit, noted) = read(unit)?;
        return Ok((Expr::Power(Box::new(unit), Box::new(Expr::Number(power.into()))), noted));
    }
    if let Some(reading) = data(name) {
        return Ok(reading);
    }
    if is_currency(name) {
        let upper = name.to_uppercase();
        return Ok((named(&upper, &upper), false));
    }
    if let Some((_, words)) = OFTEN_MEANT_OTHERWISE.iter().find(|(unit, _)| *unit == name) {
        return Ok((named(name, words), true));
    }
    if let Some((alias, fend)) = ALIASES.iter().find(|(alias, _)| *alias == name) {
        return Ok((named(fend, fend), matches!(*alias, "f" | "kilo" | "kilos")));
    }
    if matches!(name, "Nm" | "kNm" | "NM") {
        return unclear(format!("{name} can be newton metres or nautical miles: write N m or nmi"));
    }
    // The Indian numbers, which fend doesn't have.
    match name.to_lowercase().as_str() {
        "lakh" | "lakhs" | "lac" | "lacs" => return Ok((named("(1e5)", "× 100000"), true)),
        "crore" | "crores" => return Ok((named("(1e7)", "× 10000000"), true)),
        // fend takes square and cubic decimetres for centimetres.
        "sqdm" | "cbdm" => {
            let power = Expr::Number(if name.starts_with(['s', 'S']) { "2" } else { "3" }.into());
            return Ok((Expr::Power(Box::new(named("dm", "dm")), Box::new(power)), false));
        }
        _ => {}
    }
    // With a capital it is what food has.
    if matches!(name, "Cal" | "Calorie" | "Calories") {
        return Ok((named("kcal", "kcal"), true));
    }
    if name == "in" {
        return Ok((named("inch", "in"), false));
    }
    if name == "K" {
        // Whether that is to be said depends on what is around it.
        return Ok((named("K", "kelvin"), false));
    }
    if CONSTANTS.contains(&[" ", name, " "].concat()) || is_format(name) {
        return Ok((named(name, name), false));
    }
    // Cup, HP, Gallon: Cuba's pesos and galileos are not meant.
    let lower = name.to_lowercase();
    if lower != name && lower.len() > 1 && OFTEN_MEANT_OTHERWISE.iter().any(|(unit, _)| *unit == lower) {
        return Ok((read(&lower)?.0, true));
    }
    match in_other_case(name) {
        Some(unit) if name.starts_with('m') && unit.starts_with('M') => {
            let base = &unit[1..];
            if base == "Hz" {
                return Ok((named(&unit, &unit), true));
            }
            if matches!(base, "Pa" | "W" | "Wh" | "J" | "N" | "T") {
                return unclear(format!("{name} can be m{base} or M{base}: write which"));
            }
            let small = ["m", base].concat();
            Ok((named(&small, &small), true))
        }
        Some(unit) => Ok((named(&unit, &unit), true)),
        None => Ok((named(name, name), false)),
    }
}

pub fn is_currency(name: &str) -> bool {
    let is_sign = name.chars().count() == 1 && CURRENCY_SIGNS.contains(name);
    let is_code = name.len() == 3 && CURRENCY_CODES.contains(&[" ", &name.to_uppercase(), " "].concat());
    is_sign || is_code && name != "try"
}

/// The unit that fend finds when it doesn't mind capitals, if that is not what was written.
fn in_other_case(name: &str) -> Option<String> {
    // With a budget although it takes no time: fend's code is made once for each kind of interrupt.
    let one = fend_core::evaluate_with_interrupt(&["1 ", name].concat(), &mut Context::new(), &Budget::new()).ok()?;
    let unit = one.get_main_result().strip_prefix("1 ")?;
    (unit != name && unit.eq_ignore_ascii_case(name)).then(|| unit.into())
}

/// Bits and bytes: kb, mb and gb are bytes, as nearly all who write so mean; Kb, Mb and Gb are bits, and so are kbps,
/// mbps and gbps. There are no millibits.
fn data(name: &str) -> Option<(Expr, bool)> {
    let first = name.chars().next()?;
    let prefix = first.to_ascii_uppercase();
    if !"KMGTPE".contains(prefix) {
        return None;
    }
    let rest = &name[1..];
    let (binary, base) = match rest.strip_prefix(['i', 'I']) {
        Some(base) if matches!(base, "b" | "B" | "bit" | "bits") => ("i", base),
        _ => ("", rest),
    };
    let is_small = first.is_ascii_lowercase();
    let prefix = match (prefix, binary) {
        ('K', "") => "k".to_string(),
        _ => [prefix.to_string().as_str(), binary].concat(),
    };
    let bytes = [prefix.as_str(), "B"].concat();
    let bits = [prefix.as_str(), "b"].concat();
    let shown_bits = [prefix.as_str(), "bit"].concat();
    let per_second = |unit: &str, shown: String| {
        let over = vec![(Multiplicative::Over, Expr::unit("s", "s"))];
        Expr::Product(Box::new(Expr::unit(unit, &shown)), over)
    };
    Some(match base {
        "B" => (Expr::unit(&bytes, &bytes), bytes != name && name != "KB"),
        "b" if is_small => (Expr::unit(&bytes, &bytes), true),
        "b" => (Expr::unit(&bits, &shown_bits), true),
        "bit" | "bits" => (Expr::unit(&bits, &shown_bits), is_small && prefix != "k"),
        "byte" | "bytes" => (Expr::unit(&bytes, &bytes), is_small && prefix != "k"),
        "bps" => {
            let unit = [bits.as_str(), "ps"].concat();
            (Expr::unit(&unit, &unit), unit != name)
        }
        "Bps" => (per_second(&bytes, bytes.clone()), true),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, fend: &str, noted: bool) {
        let (expr, found) = read(name).unwrap();
        let Expr::Name(unit) = expr else { panic!("{name} is {expr:?}") };
        assert_eq!((unit.fend.as_str(), found), (fend, noted), "{name}");
    }

    #[test]
    fn reads_bits_and_bytes_as_people_write_them() {
        for (name, fend, noted) in [
            ("GB", "GB", false),
            ("KB", "kB", false),
            ("kB", "kB", false),
            ("gb", "GB", true),
            ("mb", "MB", true),
            ("kb", "kB", true),
            ("mB", "MB", true),
            ("Gb", "Gb", true),
            ("Mbit", "Mb", false),
            ("mbit", "Mb", true),
            ("GiB", "GiB", false),
            ("gib", "GiB", true),
            ("Gib", "Gib", true),
            ("mbps", "Mbps", true),
            ("Mbps", "Mbps", false),
            ("b", "b", true),
            ("B", "B", false),
        ] {
            check(name, fend, noted);
        }
    }

    #[test]
    fn takes_capitals_as_they_are_meant_and_asks_where_both_are() {
        check("mhz", "MHz", true);
        check("khz", "kHz", true);
        check("kwh", "kWh", true);
        check("mah", "mAh", true);
        check("km", "km", false);
        check("nosuchunit", "nosuchunit", false);
        assert!(read("mw").is_err());
        assert!(read("mpa").is_err());
    }

    #[test]
    fn knows_temperatures_and_powers() {
        assert_eq!((temperature("f"), temperature("K"), temperature("m")), (Some("°F"), Some("K"), None));
        assert_eq!((power("dm3"), power("km"), power("H2")), (Some(("dm", "3")), None, None));
    }
}
