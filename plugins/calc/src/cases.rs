//! What people type, and what they get: a row a line, as it is shown.

use crate::answer::{self, Answer};
use crate::locale::DecimalSign;

fn ask(expression: &str, sign: DecimalSign) -> Answer {
    answer::to(expression, sign)
}

/// `expression = result`, or with how it was read behind it; the result is copied.
#[track_caller]
fn answers(sign: DecimalSign, rows: &[(&str, &str)]) {
    for (expression, expected) in rows {
        let Answer { name, exec } = ask(expression, sign);
        assert_eq!(name, format!("{expression} = {expected}"));
        let result = expected.split("  (").next().unwrap().trim_start_matches("approx. ");
        assert_eq!(exec, format!("swiftctl copy -- '{result}'"));
    }
}

/// Said in the row, and nothing to copy.
#[track_caller]
fn refuses(rows: &[(&str, &str)]) {
    for (expression, expected) in rows {
        let Answer { name, exec } = ask(expression, DecimalSign::Point);
        assert_eq!((name, exec), (format!("{expression}: {expected}"), String::new()));
    }
}

const POINT: DecimalSign = DecimalSign::Point;
const COMMA: DecimalSign = DecimalSign::Comma;

#[test]
fn decimal_commas_and_grouping() {
    answers(
        POINT,
        &[
            ("1,5*2", "3  (1.5 × 2)"),
            ("27,29-23,89", "3.4  (27.29 - 23.89)"),
            ("1,234,567.89", "1234567.89"),
            ("1.234.567,89 + 0", "1234567.89  (1234567.89 + 0)"),
            ("1,234*2", "2468  (1234 × 2)"),
            ("1.234*2", "2.468"),
            ("1,234 + 1,5", "2.734  (1.234 + 1.5)"),
            ("1.234 + 1,5", "1235.5  (1234 + 1.5)"),
            ("1 000 000 + 1", "1000001  (1000000 + 1)"),
            ("1'000 * 2", "2000  (1000 × 2)"),
            ("1_000 * 2", "2000"),
            ("1,00,000 * 2", "200000  (100000 × 2)"),
            ("007", "7"),
            ("2024-01-15", "2008  (2024 - 1 - 15)"),
            ("12/25/2024", "approx. 0.0002371542  ((12 / 25) / 2024)"),
            (".5 + 5.", "5.5"),
        ],
    );
    assert_eq!(ask("1\u{202f}000 + 1", POINT).name, "1 000 + 1 = 1001");
    answers(
        COMMA,
        &[
            ("1,5*2", "3"),
            ("1,5*3", "4,5"),
            ("7/2", "3,5"),
            ("1,234 + 1", "2,234"),
            ("1.234 + 1", "1235  (1234 + 1)"),
            ("1.234 + 1.5", "2,734  (1,234 + 1,5)"),
            ("max(1,5; 2)", "2"),
            ("round(2,5)", "3  (round(2,5))"),
            ("\"1.5\"", "1.5"),
        ],
    );
    refuses(&[
        ("1 2", "two values stand side by side"),
        ("1,5 2", "two values stand side by side"),
        ("1 0000", "two values stand side by side"),
        ("(2)3", "two values stand side by side"),
        ("1,2,3", "1,2,3 can be read in several ways"),
        ("1.2.3", "1.2.3 can be read in several ways"),
        ("1, 5", "the comma is not understood here"),
        ("1,5;2,5", "the semicolon is not understood here"),
    ]);
}

#[test]
fn arguments() {
    answers(
        POINT,
        &[
            ("min(1, -2, 5)", "-2"),
            ("min(1,-2,5)", "-2  (min(1, -2, 5))"),
            ("max(1,5,2)", "5  (max(1, 5, 2))"),
            ("max(1,5; 2)", "2  (max(1.5, 2))"),
            ("max(1;2;3)", "3"),
            ("2*max(min(1, 2), 0)", "2"),
            ("min(5 km, 300 m)", "0.3 km"),
            ("max(1/3, 1/7) * 3", "1"),
            ("sqrt(1,44)", "1.2  (sqrt(1.44))"),
            ("avg(1, 2, 4, 5)", "3"),
            ("pow(2, 10)", "1024"),
            ("root(27, 3)", "3"),
            ("round(2.345, 2)", "2.35"),
            ("log(100)", "approx. 2  (log10(100))"),
            ("5 min to s", "300 s"),
            ("10 mod 3", "1"),
            ("mod(10, 3)", "1"),
        ],
    );
    refuses(&[("sqrt(2; 3)", "sqrt doesn't take 2 values"), ("max(1,)", "something is missing after ,")]);
}

#[test]
fn percentages() {
    answers(
        POINT,
        &[
            ("100-10%", "90  (100 - 10% of 100)"),
            ("100+10%", "110  (100 + 10% of 100)"),
            ("100 - 10 percent", "90  (100 - 10% of 100)"),
            ("200*10%", "20"),
            ("10% of 50", "5"),
            ("50 + 20% - 10%", "54  (50 + 20% of 50 - 10% of (50 + 20% of 50))"),
            ("(100+20)-10%", "108  (100 + 20 - 10% of (100 + 20))"),
            ("100-(10%)", "90  (100 - 10% of 100)"),
            ("5% + 5%", "0.1  (5 / 100 + 5 / 100)"),
            ("10%", "0.1"),
            ("1/10%", "10  (1 / (10 / 100))"),
            ("7 % 3", "1  (7 mod 3)"),
            ("7 % -3", "-2.93  (7 / 100 - 3)"),
            ("100 - 10%*2", "99.8  (100 - (10 / 100) × 2)"),
            ("100 km - 10%", "90 km  (100 km - 10% of 100 km)"),
            ("20% off 50", "40  (20% off 50)"),
            ("20% of 50 + 10", "20  ((20% of 50) + 10)"),
            ("x = 100; x - 10%", "90  (x = 100; x - 10% of x)"),
            ("0.25 to %", "25%"),
        ],
    );
    refuses(&[("50%%", "%% is not understood")]);
}

#[test]
fn what_stands_behind_a_slash() {
    answers(
        POINT,
        &[
            ("100 km / 2 h", "50 km / h"),
            ("60 miles / 2 hours", "30 miles / hour"),
            ("10 m / 2 s to km/h", "18 km / h"),
            ("3 kg / 2 m^3", "1.5 kg / m^3"),
            ("5 L/100 km", "0.05 L / km"),
            ("60 km / 1:30", "40 km / h  (60 km / (1 h + 30 min))"),
            ("1/2 h to min", "30 mins  ((1 / 2) h to min)"),
            ("1/10 s to Hz", "0.1 Hz  (1 / (10 s) to Hz)"),
            ("6/2(1+2)", "9  ((6 / 2) × (1 + 2))"),
            ("1/(2 h) to Hz", "approx. 0.0001388889 Hz"),
            ("6/(2(1+2))", "1"),
            ("100 km / (2) h", "50 km / h"),
            ("1/2 pi", "approx. 1.5707963268  ((1 / 2) pi)"),
            ("12/3k", "0.004"),
            ("10 J / kg K", "10 J kg^-1 K^-1  (10 J / (kg × kelvin))"),
            ("7//2", "3  (floor(7 / 2))"),
        ],
    );
}

#[test]
fn powers_and_signs() {
    answers(
        POINT,
        &[
            ("-2^2", "-4  (-(2^2))"),
            ("(-2)^2", "4"),
            ("2^(3^2) + (-(2^2))", "508"),
            ("square(5) + square 2", "29"),
            ("2^-1", "0.5"),
            ("2^3^2", "512  (2^(3^2))"),
            ("2**3", "8"),
            ("5!", "120"),
            ("3!!", "720  ((3!)!)"),
            ("-3!", "-6  (-(3!))"),
            ("3²", "9"),
            ("10⁻²", "0.01"),
            ("√16 + 9", "13  (sqrt(16) + 9)"),
            ("sqrt 16 + 9", "13  (sqrt(16) + 9)"),
            ("sqrt(16) + 9", "13"),
            ("sqrt 4 * 9", "18  (sqrt(4) × 9)"),
            ("sin pi/2", "0  (sin(pi) / 2)"),
            ("2^2pi", "approx. 12.5663706144  (2^2 × pi)"),
            ("2*7 mod 4", "2  ((2 × 7) mod 4)"),
            ("7 mod 4", "3"),
            ("2 + 7 mod 3", "3  (2 + (7 mod 3))"),
            ("7 mod 3 + 2", "3  ((7 mod 3) + 2)"),
            ("sqrt 16 mod 3", "1  (sqrt(16) mod 3)"),
            ("sqrt 16 times 9", "36  (sqrt(16) × 9)"),
            ("sqrt 16%", "0.4  (sqrt(16 / 100))"),
            ("ln 2^3", "approx. 2.0794415417  (ln(2^3))"),
            ("8^1/3", "approx. 2.6666666667  ((8^1) / 3)"),
            ("3^2/2", "4.5  ((3^2) / 2)"),
            ("3²/2", "4.5"),
            ("8^(1/3)", "2"),
            ("5 nCr 2 + 1", "10  (5 nCr (2 + 1))"),
            ("(5 nCr 2) + 1", "11"),
            ("1 << 2 + 3", "32  (1 << (2 + 3))"),
            ("5 and 3", "1  (5 & 3)"),
            ("1½ + ½", "2"),
            ("3 × 4 ÷ 2 − 1 · 2", "4"),
            ("１＋１＝", "2"),
            ("2+2=", "4"),
            ("2 + 2 = ?", "4"),
            ("== 2", "2"),
            ("3x4", "12"),
            ("3 x 4 X 5", "60"),
            ("2*(3+4", "14"),
            ("1.5(2)", "3  (1.5 × 2)"),
            ("1e3 + 1E3", "2000"),
            ("0x1F + 1", "0x20"),
            ("0b101", "0b101"),
            ("1 << 4", "16"),
            ("sin(30)", "approx. -0.988031625  (sin(30 rad))"),
            ("sin(30°)", "0.5"),
            ("sin 2pi", "0"),
            ("atan(1)", "approx. 0.7853981634  (atan(1) in radians)"),
            ("sin^2(pi/6)", "0.25  (sin(pi / 6)^2)"),
        ],
    );
    refuses(&[
        ("2+2=4", "equations are not solved, and a comparison is written =="),
        ("2+3)*4", "a parenthesis is closed that was not opened"),
        ("2*/3", "/ is not understood here"),
    ]);
}

#[test]
fn units_as_people_write_them() {
    answers(
        POINT,
        &[
            ("1 gb to mb", "1000 MB  (1 GB to MB)"),
            ("100 mbps to MB/s", "12.5 MB / s  (100 Mbps to MB / s)"),
            ("1 Gb to GB", "0.125 GB  (1 Gbit to GB)"),
            ("1 gib to mb", "1073.741824 MB  (1 GiB to MB)"),
            ("1 MBps * 2 s", "2 MB  (1 × (MB / s) × 2 s)"),
            ("72 f to c", "approx. 22.2222222222 °C  (72 °F to °C)"),
            ("72F in C", "approx. 22.2222222222 °C"),
            ("-40 c to f", "-40 °F  (-(40 °C) to °F)"),
            ("0 K to C", "-273.15 °C"),
            ("20 degrees celsius to f", "68 °F  (20 °C to °F)"),
            ("10 in to cm", "25.4 cm"),
            ("10 in in cm", "25.4 cm"),
            ("10 in² to cm2", "64.516 cm^2"),
            ("10 in cm", "25.4 cm  (10 in to cm)"),
            ("6 ft 1 in to cm", "185.42 cm"),
            ("5'11\" to cm", "180.34 cm"),
            ("5 ft 11 to cm", "180.34 cm  (5 ft + 11 in to cm)"),
            ("1/2\" to mm", "12.7 mm  ((1 / 2) in to mm)"),
            ("-6 ft 1 in to cm", "-185.42 cm"),
            ("40° 30' to deg", "40.5 degs"),
            ("1h30m to min", "90 mins  (1 h + 30 min to min)"),
            ("1:30 h", "1.5 h  (1 h + 30 min)"),
            ("1d12h to h", "36 h"),
            ("90 min to h", "1.5 h"),
            ("$5+$3", "$8"),
            ("€1,50 * 2", "3€  (€1.50 × 2)"),
            ("$20/h * 8h", "$160"),
            ("5 M", "5000000  (5 million)"),
            ("5 K", "5 K  (5 kelvin)"),
            ("300 K to C", "26.85 °C"),
            ("5 mhz", "5 MHz"),
            ("1 dm2 to cm2", "100 cm^2"),
            ("20 sq ft to sq in", "2880 inches^2"),
            ("12 km / 4 km/h", "3 h  (12 km / (4 km / h))"),
            ("1 TB / 100 MB/s", "10000 s  (1 TB / (100 MB / s))"),
            ("3 km / 4 km/h to min", "45 mins  (3 km / (4 km / h) to min)"),
            ("100 km / 2 h", "50 km / h"),
            ("5 km t", "5 km t  (5 km × t)"),
            ("1 gallon to l", "3.785411784 l  (1 US gallon to l)"),
            ("1 fl oz to ml", "29.5735295625 ml  (1 US fluid ounce to ml)"),
            ("2000 Cal to kJ", "8368 kJ  (2000 kcal to kJ)"),
            ("1 hp to W", "745.69987158227022 W  (1 horsepower of 745.7 W to W)"),
            ("2 cups to ml", "473.176473 ml  (2 US cups to ml)"),
            ("1 Cup to ml", "236.5882365 ml  (1 US cup to ml)"),
            ("1 HP to W", "745.69987158227022 W  (1 horsepower of 745.7 W to W)"),
            ("2 fluid ounces to ml", "59.147059125 ml  (2 US fluid ounce to ml)"),
            ("8 oz to g", "226.796185 g  (8 ounces of 28.35 g to g)"),
            ("1 tbs to ml", "14.78676478125 ml  (1 US tablespoons to ml)"),
            ("5 lakh", "500000  (5 × 100000)"),
            ("2 crore / 4 lakh", "50  (2 × 10000000 / (4 × 100000))"),
            ("5 billion", "5000000000  (5 × 10^9)"),
            ("1 year to days", "365.242198781 days  (1 year of 365.2422 days to days)"),
            ("60 rpm to Hz", "approx. 6.2831853072 Hz  (60 (2 pi / min) to Hz)"),
            ("1 sqdm to sqcm", "100 cm^2"),
            ("1 cbdm to cbcm", "1000 cm^3"),
            ("1/7^20", "approx. 0.00000000000000001253254289"),
        ],
    );
    refuses(&[
        ("5 mw", "mw can be mW or MW: write which"),
        ("10 Nm", "Nm can be newton metres or nautical miles: write N m or nmi"),
        ("20 °C + 10 °F", "temperatures of different scales can't be added"),
        ("$5 + €3", "exchange rates are not available"),
        ("2 h 30", "there is a number without a unit behind one with a unit"),
        ("1:30 pm", "times of the day are not understood"),
    ]);
}

#[test]
fn says_what_is_missing_while_someone_types() {
    for (expression, last) in
        [("2+", "+"), ("2*(", "("), ("2*(3+", "+"), ("100-", "-"), ("5 km to", "to"), ("sqrt", "sqrt")]
    {
        refuses(&[(expression, format!("something is missing after {last}").as_str())]);
    }
    refuses(&[("\"abc", "the text has no closing \"")]);
}

/// Numbers that are the same whenever the tests run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % bound
    }
}

#[test]
fn nothing_that_is_typed_makes_it_panic() {
    let pieces: Vec<&str> =
        "0 1 2 5 9 12 , . ' \" ( ) + - * / ^ % ! = : ; < > & | ° ² ½ √ $ € # @ _ x km ft in m h c f \
        GB mb min( max( round( log( sqrt sin pi e 1e 0x k 1,5 1.234 000 ** // << -> to mod of d6 °C hex"
            .split(' ')
            .chain([" "])
            .collect();
    let mut random = Random(8);
    for _ in 0..4000 {
        let length = 1 + random.below(16);
        let text: String = (0..length).map(|_| pieces[random.below(pieces.len())]).collect();
        for sign in [POINT, COMMA] {
            let Answer { name, exec } = ask(&text, sign);
            assert!(!name.is_empty() && name.chars().count() <= 800, "{text}");
            assert!(exec.is_empty() || name.contains(" = "), "{text}: {name}");
        }
    }
}
