//! The sign before the decimals, from the locale.

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DecimalSign {
    Point,
    Comma,
}

impl DecimalSign {
    pub fn other(self) -> Self {
        match self {
            Self::Point => Self::Comma,
            Self::Comma => Self::Point,
        }
    }
}

/// Languages that write a comma, as glibc's locales say.
const COMMA: &str = " ab agr an ast ayc az be bg br bs ca ce crh cs csb cv da de dsb el es et eu ff fi fo fr fur fy \
    gl hr hsb ht hu ia id is it ka kab kk kl ku ky lb li lij ln lt lv mg mhr mk mn nb nds nl nn no oc os pap pl pt \
    quz ro ru rw sah sc se sgs sk sl sq sr sv szl tg tr tt uk vi wa wo ";

/// Where the same language is written with the other sign.
const EXCEPTIONS: &str = " az_IR de_CH de_LI en_DK es_DO es_GT es_HN es_MX es_NI es_PA es_PR es_SV es_US fr_CH it_CH ";

/// What a locale such as `de_AT.UTF-8@euro` writes; a point for one that is not known.
fn of(locale: &str) -> DecimalSign {
    let place = locale.split(['.', '@']).next().unwrap_or_default();
    let language = place.split('_').next().unwrap_or_default();
    let has = |list: &str, word: &str| !word.is_empty() && list.contains(&[" ", word, " "].concat());
    let sign = if has(COMMA, language) { DecimalSign::Comma } else { DecimalSign::Point };
    if has(EXCEPTIONS, place) { sign.other() } else { sign }
}

/// As POSIX has it: the first of these that is set and not empty counts.
fn from_environment(variables: &[(String, String)]) -> DecimalSign {
    ["LC_ALL", "LC_NUMERIC", "LANG"]
        .iter()
        .find_map(|name| variables.iter().find(|(key, value)| key == name && !value.is_empty()))
        .map_or(DecimalSign::Point, |(_, value)| of(value))
}

#[cfg(target_family = "wasm")]
pub fn decimal_sign() -> DecimalSign {
    from_environment(&crate::wasi::cli::environment::get_environment())
}

#[cfg(not(target_family = "wasm"))]
pub fn decimal_sign() -> DecimalSign {
    from_environment(&std::env::vars().collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_who_writes_a_comma() {
        for locale in ["de_DE.UTF-8", "fr_FR", "pt_BR.utf8", "ru_RU.UTF-8", "de", "sv_SE@euro", "en_DK.UTF-8", "es_AR"]
        {
            assert_eq!(of(locale), DecimalSign::Comma, "{locale}");
        }
        for locale in ["", "C", "POSIX", "C.UTF-8", "en_US.UTF-8", "de_CH.UTF-8", "es_MX", "ja_JP.UTF-8", "_DE", "."] {
            assert_eq!(of(locale), DecimalSign::Point, "{locale}");
        }
    }

    #[test]
    fn the_first_variable_that_is_set_counts() {
        let variables = |list: &[(&str, &str)]| {
            from_environment(&list.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect::<Vec<_>>())
        };
        assert_eq!(variables(&[]), DecimalSign::Point);
        assert_eq!(variables(&[("LANG", "de_DE.UTF-8")]), DecimalSign::Comma);
        assert_eq!(variables(&[("LANG", "de_DE"), ("LC_NUMERIC", "en_US")]), DecimalSign::Point);
        assert_eq!(variables(&[("LANG", "en_US"), ("LC_NUMERIC", "de_DE"), ("LC_ALL", "")]), DecimalSign::Comma);
        assert_eq!(variables(&[("LANG", "de_DE"), ("LC_NUMERIC", "de_DE"), ("LC_ALL", "C")]), DecimalSign::Point);
    }
}
