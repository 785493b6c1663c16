//! A second reader of replies (RFC 9112): one that has all bytes beforehand, takes what it gets, and panics where there is no
//! reply. Where the library takes a reply, both must read the same.

/// A reply.
pub(super) struct ReadReply<'a> {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
    /// The reply says itself where it ends.
    pub(super) has_end: bool,
    /// What follows the reply.
    pub(super) rest: &'a [u8],
    is_modern: bool,
    /// Names in lower case, and values.
    headers: Vec<(String, String)>,
}

impl ReadReply<'_> {
    /// The values of a header.
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        let headers = self.headers.iter().filter(|(known, _)| known == name);
        headers.map(|(_, value)| &**value).collect()
    }

    /// The other side lets the connection serve another request.
    pub(super) fn may_keep(&self) -> bool {
        let lines = self.all("connection").into_iter();
        let words: Vec<String> = lines
            .flat_map(|line| line.split(','))
            .map(|word| word.trim().to_lowercase())
            .collect();
        let has = |word: &str| words.iter().any(|known| known == word);
        !has("close") && (self.is_modern || has("keep-alive"))
    }
}

/// The reply at the beginning of these bytes, after replies of 1xx.
pub(super) fn of(data: &[u8]) -> ReadReply<'_> {
    let (first, headers, rest) = head(data);
    let is_modern = first.starts_with("HTTP/1.1 ");
    assert!(is_modern || first.starts_with("HTTP/1.0 "), "{first:?}");
    let status: u16 = first[9..12].parse().expect("three digits");
    if (100..200).contains(&status) {
        return of(rest);
    }
    let mut reading = ReadReply {
        status,
        body: Vec::new(),
        has_end: true,
        rest,
        is_modern,
        headers,
    };
    let (lengths, codings) = (
        reading.all("content-length"),
        reading.all("transfer-encoding"),
    );
    assert!(lengths.len() + codings.len() <= 1, "one framing");
    if [204, 304].contains(&status) {
        return reading;
    }
    if let [length] = lengths[..] {
        let (body, rest) = rest.split_at(length.parse().expect("a number"));
        (reading.body, reading.rest) = (body.to_vec(), rest);
    } else if let [coding] = codings[..] {
        assert!(coding.eq_ignore_ascii_case("chunked"));
        (reading.body, reading.rest) = chunks(rest);
    } else {
        (reading.body, reading.rest) = (rest.to_vec(), &[]);
        reading.has_end = false;
    }
    reading
}

/// The first line, the headers, and what follows.
fn head(data: &[u8]) -> (String, Vec<(String, String)>, &[u8]) {
    let (first, mut rest) = line(data);
    let mut headers = Vec::new();
    loop {
        let (header, more) = line(rest);
        rest = more;
        if header.is_empty() {
            return (first, headers, rest);
        }
        let (name, value) = header.split_once(':').expect("a name and a value");
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

/// The next line, each of whose bytes is a character, and what follows.
fn line(data: &[u8]) -> (String, &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n');
    let (line, rest) = data.split_at(end.expect("an end") + 1);
    let line = line.strip_suffix(b"\n").expect("its end");
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    (line.iter().map(|byte| char::from(*byte)).collect(), rest)
}

fn chunks(mut rest: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut body = Vec::new();
    loop {
        let (line, more) = line(rest);
        let digits = line.find(|c: char| !c.is_ascii_hexdigit());
        let digits = &line[..digits.unwrap_or(line.len())];
        let size = usize::from_str_radix(digits, 16).expect("a size");
        if size == 0 {
            rest = more;
            break;
        }
        let (chunk, more) = more.split_at(size);
        body.extend_from_slice(chunk);
        rest = more.strip_prefix(b"\r\n").expect("the end of a chunk");
    }
    // Headers after the last chunk.
    loop {
        let (line, more) = line(rest);
        rest = more;
        if line.is_empty() {
            return (body, rest);
        }
    }
}
