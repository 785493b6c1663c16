//! The dates and purposes of a certificate, which webpki does not tell of a root: as much of X.509 in DER
//! (RFC 5280) as they need.

use std::time::Duration;

use rustls::CertificateError;
use rustls::pki_types::UnixTime;

/// What a certificate says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claims {
    /// In seconds since 1970.
    not_before: u64,
    /// In seconds since 1970.
    not_after: u64,
    /// It may sign other certificates.
    pub(super) signs: bool,
    /// The certificate, and those that it signs, may be a server's.
    pub(super) for_servers: bool,
}

impl Claims {
    pub(super) fn valid_at(&self, now: u64) -> Result<(), CertificateError> {
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let time = at(now);
        if now < self.not_before {
            let not_before = at(self.not_before);
            return Err(CertificateError::NotValidYetContext { time, not_before });
        }
        if now > self.not_after {
            let not_after = at(self.not_after);
            return Err(CertificateError::ExpiredContext { time, not_after });
        }
        Ok(())
    }
}

// Tags of DER.
const BOOLEAN: u8 = 0x01;
const BITS: u8 = 0x03;
const BYTES: u8 = 0x04;
const ID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;

// Ids of extensions, and of purposes.
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];
const ANY_PURPOSE: &[u8] = &[0x55, 0x1d, 0x25, 0x00];
const FOR_SERVERS: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];

/// Elements one after the other.
struct Elements<'a>(&'a [u8]);

impl<'a> Iterator for Elements<'a> {
    type Item = (u8, &'a [u8]);

    /// The tag and the content of the next element. None: there is no other one, or the next one is broken.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (tag, rest) = self.0.split_first()?;
        let (length, rest) = rest.split_first()?;
        let (length, rest) = match length {
            0..=0x7f => (usize::from(*length), rest),
            0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(*length & 0x7f))?;
                let length = bytes.iter();
                let length = length.fold(0, |sum, byte| sum << 8 | usize::from(*byte));
                (length, rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((*tag, content))
    }
}

impl<'a> Elements<'a> {
    fn of(&mut self, wanted: u8) -> Option<&'a [u8]> {
        self.next()
            .filter(|(tag, _)| *tag == wanted)
            .map(|(_, content)| content)
    }
}

/// What a certificate says of itself. None: the bytes are no certificate.
pub(super) fn claims(certificate: &[u8]) -> Option<Claims> {
    let signed = Elements(certificate).of(SEQUENCE)?;
    let mut fields = Elements(Elements(signed).of(SEQUENCE)?).peekable();
    // A certificate without this field is of version 1.
    let has_version = fields.next_if(|(tag, _)| *tag == VERSION);
    let is_v3 = has_version.is_some_and(|(_, version)| version.last() == Some(&2));
    // The serial number, the algorithm, and the issuer.
    let mut fields = fields.skip(3);
    let (_, validity) = fields.next().filter(|(tag, _)| *tag == SEQUENCE)?;
    let mut validity = Elements(validity).map(seconds);
    let mut claims = Claims {
        not_before: validity.next()??,
        not_after: validity.next()??,
        signs: !is_v3,
        for_servers: true,
    };
    let mut usage = true;
    if let Some((_, extensions)) = fields.find(|(tag, _)| *tag == EXTENSIONS) {
        for (_, extension) in Elements(Elements(extensions).of(SEQUENCE)?) {
            let mut parts = Elements(extension);
            let id = parts.of(ID)?;
            let (_, content) = parts.find(|(tag, _)| *tag == BYTES)?;
            match id {
                BASIC_CONSTRAINTS => {
                    let first = Elements(Elements(content).of(SEQUENCE)?).next();
                    claims.signs = matches!(first, Some((BOOLEAN, [0xff])));
                }
                KEY_USAGE => {
                    // The first byte counts the unused bits. Then come the bits: the sixth is keyCertSign.
                    let bits = Elements(content).of(BITS)?.get(1);
                    usage = bits.is_some_and(|bits| bits & 0x04 != 0);
                }
                EXTENDED_KEY_USAGE => {
                    let mut purposes = Elements(Elements(content).of(SEQUENCE)?);
                    claims.for_servers =
                        purposes.any(|(_, id)| id == FOR_SERVERS || id == ANY_PURPOSE);
                }
                _ => {}
            }
        }
    }
    claims.signs &= usage;
    Some(claims)
}

/// A time in seconds since 1970; 0 for an earlier time.
fn seconds((tag, text): (u8, &[u8])) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, rest) = text.split_at_checked(match tag {
        UTC_TIME => 2,
        TIME => 4,
        _ => return None,
    })?;
    if rest.len() != 10 {
        return None;
    }
    let number = |digits: &str| -> Option<i64> {
        let all = digits.bytes().all(|digit| digit.is_ascii_digit());
        digits.parse().ok().filter(|_| all)
    };
    let year = match number(year)? {
        year if tag == TIME => year,
        year @ 0..50 => 2000 + year,
        year => 1900 + year,
    };
    let part = |at: usize| number(rest.get(at..at + 2)?);
    let days = days_to(year, part(0)?, part(2)?);
    let time = (part(4)? * 60 + part(6)?) * 60 + part(8)?;
    Some(u64::try_from(days * 86_400 + time).unwrap_or(0))
}

/// Days from 1970-01-01 to a date of the Gregorian calendar. Years are counted from March: so a leap day is the
/// last day of its year.
fn days_to(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = match month {
        3.. => (year, month - 3),
        _ => (year - 1, month + 9),
    };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // The lengths of the months repeat: 31, 30, 31, 30, 31.
    let of_months = (153 * month + 2) / 5;
    year * 365 + leap_days + of_months + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose as Purpose, IsCa, KeyPair,
        KeyUsagePurpose, date_time_ymd,
    };

    use super::*;

    fn of(change: impl FnOnce(&mut CertificateParams)) -> Claims {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        claims(params.self_signed(&key).expect("signed").der()).expect("a certificate")
    }

    #[test]
    fn dates() {
        for (year, month, day, seconds) in [
            (1970, 1, 1, 0),
            (1969, 7, 20, 0),
            (2000, 2, 29, 951_782_400),
            (2024, 2, 29, 1_709_164_800),
            (2026, 11, 26, 1_795_651_200),
            (2049, 12, 31, 2_524_521_600),
            (2050, 1, 1, 2_524_608_000),
            (2100, 3, 1, 4_107_542_400),
            (4096, 1, 1, 67_090_118_400),
        ] {
            let begins = of(|params| params.not_before = date_time_ymd(year, month, day));
            assert_eq!(begins.not_before, seconds, "{year}-{month}-{day}");
        }
        let claims = of(|params| {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        });
        let (first, last) = (1_577_836_800, 1_609_459_200);
        assert!(claims.valid_at(first).is_ok() && claims.valid_at(last).is_ok());
        assert!(claims.valid_at(first - 1).is_err() && claims.valid_at(last + 1).is_err());
    }

    #[test]
    fn what_it_is_for() {
        let purpose = |claims: Claims| (claims.signs, claims.for_servers);
        assert_eq!(purpose(of(|_| {})), (true, true));
        assert_eq!(purpose(of(|p| p.is_ca = IsCa::NoCa)), (false, true));
        assert_eq!(purpose(of(|p| p.is_ca = IsCa::ExplicitNoCa)), (false, true));
        let usages = |usages: &[KeyUsagePurpose]| {
            let usages = usages.to_vec();
            purpose(of(|params| params.key_usages = usages))
        };
        assert_eq!(usages(&[KeyUsagePurpose::KeyCertSign]), (true, true));
        assert_eq!(usages(&[KeyUsagePurpose::DigitalSignature]), (false, true));
        let purposes = |purposes: &[Purpose]| {
            let purposes = purposes.to_vec();
            purpose(of(|params| params.extended_key_usages = purposes))
        };
        assert_eq!(purposes(&[Purpose::ClientAuth]), (true, false));
        for good in [Purpose::ServerAuth, Purpose::Any] {
            assert_eq!(purposes(&[Purpose::ClientAuth, good]), (true, true));
        }
    }

    #[test]
    fn what_is_no_certificate() {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(Vec::new()).expect("parameters");
        let whole = params.self_signed(&key).expect("signed");
        let whole = whole.der();
        assert!(claims(whole).is_some());
        for end in 0..whole.len() {
            assert_eq!(claims(&whole[..end]), None);
        }
        // Nothing that is wrong in it does any harm.
        for at in 0..whole.len() {
            for wrong in [0, 0x7f, 0x80, 0x84, 0xff] {
                let mut bytes = whole.to_vec();
                bytes[at] = wrong;
                let _ = claims(&bytes);
            }
        }
    }
}
