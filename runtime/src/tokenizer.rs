//! Text to indices and back: characters, bytes, or a `tokenizer.json`.

use std::collections::HashMap;
use std::fmt;

use anyhow::{Context, Result, anyhow};

use crate::plan;

/// How text becomes indices, ready for use.
pub struct Tokenizer {
    kind: Kind,
}

enum Kind {
    Characters { chars: Vec<char>, index: HashMap<char, i32> },
    Bytes,
    Json(Box<tokenizers::Tokenizer>),
}

/// A character that the tokenizer has no index for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// The character.
    pub character: char,
    /// Where it stands: a byte offset into the text.
    pub at: usize,
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the character {:?} is not among those that the model knows", self.character)
    }
}

impl std::error::Error for Unknown {}

/// The characters of a text, each once, in order of code point: the vocabulary of a character model.
pub fn characters_of(text: &str) -> plan::Tokenizer {
    let mut chars: Vec<char> = text.chars().collect::<std::collections::BTreeSet<_>>().into_iter().collect();
    chars.shrink_to_fit();
    plan::Tokenizer::Characters(chars)
}

impl Tokenizer {
    /// Makes a plan's tokenizer usable.
    ///
    /// # Errors
    /// A `tokenizer.json` that does not read, or characters that stand twice.
    pub fn new(plan: &plan::Tokenizer) -> Result<Self> {
        let kind = match plan {
            plan::Tokenizer::Bytes => Kind::Bytes,
            plan::Tokenizer::Characters(chars) => {
                let mut index = HashMap::with_capacity(chars.len());
                for (i, &c) in chars.iter().enumerate() {
                    let i = i32::try_from(i).context("more characters than indices")?;
                    if index.insert(c, i).is_some() {
                        return Err(anyhow!("the character {c:?} stands twice in the vocabulary"));
                    }
                }
                Kind::Characters { chars: chars.clone(), index }
            }
            plan::Tokenizer::Json(json) => {
                let tokenizer = tokenizers::Tokenizer::from_bytes(json.as_bytes())
                    .map_err(|error| anyhow!("tokenizer.json does not read: {error}"))?;
                Kind::Json(Box::new(tokenizer))
            }
        };
        Ok(Self { kind })
    }

    /// Number of indices.
    pub fn size(&self) -> usize {
        match &self.kind {
            Kind::Characters { chars, .. } => chars.len(),
            Kind::Bytes => 256,
            Kind::Json(tokenizer) => tokenizer.get_vocab_size(true),
        }
    }

    /// Whether every sequence of bytes has indices, so that data need not be UTF-8.
    pub fn takes_any_bytes(&self) -> bool {
        matches!(self.kind, Kind::Bytes)
    }

    /// The indices of a text, without marks at its ends.
    ///
    /// # Errors
    /// [`Unknown`] where a character has no index; otherwise what the `tokenizer.json` refuses.
    pub fn encode(&self, text: &str) -> Result<Vec<i32>> {
        match &self.kind {
            Kind::Characters { index, .. } => text
                .char_indices()
                .map(|(at, character)| index.get(&character).copied().ok_or_else(|| Unknown { character, at }.into()))
                .collect(),
            Kind::Bytes => Ok(Self::encode_bytes(text.as_bytes())),
            Kind::Json(tokenizer) => {
                let encoding = tokenizer.encode_fast(text, false).map_err(|error| anyhow!("{error}"))?;
                encoding.get_ids().iter().map(|&id| i32::try_from(id).context("a token's index is too large")).collect()
            }
        }
    }

    /// The indices of a text with the marks that the tokenizer puts at its ends, cut where it cuts texts, without padding.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn encode_marked(&self, text: &str) -> Result<Vec<i32>> {
        let Kind::Json(tokenizer) = &self.kind else { return self.encode(text) };
        let encoding = tokenizer.encode_fast(text, true).map_err(|error| anyhow!("{error}"))?;
        let there = encoding.get_ids().iter().zip(encoding.get_attention_mask()).filter(|(_, there)| **there != 0);
        there.map(|(&id, _)| i32::try_from(id).context("a token's index is too large")).collect()
    }

    /// The same without the marks at its end: what is to be written on.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn encode_begun(&self, text: &str) -> Result<Vec<i32>> {
        let Kind::Json(tokenizer) = &self.kind else { return self.encode(text) };
        let encoding = tokenizer.encode_fast(text, true).map_err(|error| anyhow!("{error}"))?;
        let last = encoding.get_special_tokens_mask().iter().rposition(|&mark| mark == 0);
        let begun = &encoding.get_ids()[..last.map_or(encoding.len(), |last| last + 1)];
        begun.iter().map(|&id| i32::try_from(id).context("a token's index is too large")).collect()
    }

    /// The index of what stands where a text has ended; 0 where the tokenizer has none.
    pub fn padding(&self) -> i32 {
        let Kind::Json(tokenizer) = &self.kind else { return 0 };
        let id = tokenizer.get_padding().map(|padding| padding.pad_id);
        let named = || ["[PAD]", "<pad>"].iter().find_map(|token| tokenizer.token_to_id(token));
        id.or_else(named).and_then(|id| i32::try_from(id).ok()).unwrap_or(0)
    }

    /// One index a byte.
    pub fn encode_bytes(bytes: &[u8]) -> Vec<i32> {
        bytes.iter().map(|&byte| i32::from(byte)).collect()
    }

    /// The indices of a prompt, and the characters that were left out because they have none (each once).
    ///
    /// # Errors
    /// What [`Self::encode`] refuses, except unknown characters.
    pub fn encode_prompt(&self, prompt: &str) -> Result<(Vec<i32>, Vec<char>)> {
        let Kind::Characters { index, .. } = &self.kind else {
            return Ok((self.encode(prompt)?, Vec::new()));
        };
        let (mut indices, mut unknown) = (Vec::new(), Vec::new());
        for c in prompt.chars() {
            match index.get(&c) {
                Some(&i) => indices.push(i),
                None if unknown.contains(&c) => {}
                None => unknown.push(c),
            }
        }
        Ok((indices, unknown))
    }

    /// The text of indices. Bytes that are not UTF-8 become `U+FFFD`.
    ///
    /// # Errors
    /// An index that stands for nothing.
    pub fn decode(&self, indices: &[i32]) -> Result<String> {
        let outside = |i: i32| anyhow!("index {i} stands for nothing: the vocabulary has {} entries", self.size());
        match &self.kind {
            Kind::Characters { chars, .. } => indices
                .iter()
                .map(|&i| usize::try_from(i).ok().and_then(|i| chars.get(i)).copied().ok_or_else(|| outside(i)))
                .collect(),
            Kind::Bytes => {
                let bytes: Result<Vec<u8>> = indices.iter().map(|&i| u8::try_from(i).map_err(|_| outside(i))).collect();
                Ok(String::from_utf8_lossy(&bytes?).into_owned())
            }
            Kind::Json(tokenizer) => {
                let ids: Result<Vec<u32>> = indices.iter().map(|&i| u32::try_from(i).map_err(|_| outside(i))).collect();
                tokenizer.decode(&ids?, false).map_err(|error| anyhow!("{error}"))
            }
        }
    }
}

/// Text of indices that come one by one. A token may be half a character, and may print otherwise behind another one, so
/// a few earlier tokens are decoded again with each.
#[derive(Default)]
pub struct Stream {
    indices: Vec<i32>,
    /// Start of the tokens that give the newest text its surroundings.
    from: usize,
    /// End of the tokens whose text is out.
    out: usize,
}

impl Stream {
    /// A stream behind a prompt, which is not repeated.
    pub fn after(prompt: &[i32]) -> Self {
        const SURROUNDINGS: usize = 8;
        let from = prompt.len().saturating_sub(SURROUNDINGS);
        Self { indices: prompt[from..].to_vec(), from: 0, out: prompt.len() - from }
    }

    /// The text that `index` completes; empty while a character is not whole.
    ///
    /// # Errors
    /// An index that stands for nothing.
    pub fn push(&mut self, tokenizer: &Tokenizer, index: i32) -> Result<String> {
        self.indices.push(index);
        let text = self.pending(tokenizer)?;
        if text.ends_with(char::REPLACEMENT_CHARACTER) {
            return Ok(String::new());
        }
        self.from = self.out;
        self.out = self.indices.len();
        Ok(text)
    }

    /// What is left at the end, broken characters as `U+FFFD`.
    ///
    /// # Errors
    /// An index that stands for nothing.
    pub fn finish(self, tokenizer: &Tokenizer) -> Result<String> {
        self.pending(tokenizer)
    }

    fn pending(&self, tokenizer: &Tokenizer) -> Result<String> {
        let before = tokenizer.decode(&self.indices[self.from..self.out])?;
        let whole = tokenizer.decode(&self.indices[self.from..])?;
        Ok(whole.get(before.len()..).unwrap_or_default().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Tokenizer {
        Tokenizer::new(&characters_of(text)).unwrap()
    }

    #[test]
    fn characters_are_sorted_and_come_back() {
        let tokenizer = of("b\nañab");
        assert_eq!(tokenizer.size(), 4);
        assert_eq!(tokenizer.encode("\nabñ").unwrap(), [0, 1, 2, 3]);
        assert_eq!(tokenizer.decode(&[3, 2, 1]).unwrap(), "ñba");
        assert!(tokenizer.decode(&[4]).unwrap_err().to_string().contains("has 4 entries"));
        assert!(tokenizer.decode(&[-1]).is_err());
    }

    #[test]
    fn an_unknown_character_has_a_place() {
        let error = of("añ").encode("añz").unwrap_err();
        assert_eq!(error.downcast_ref::<Unknown>(), Some(&Unknown { character: 'z', at: 3 }));
        let (indices, unknown) = of("añ").encode_prompt("zañz!").unwrap();
        assert_eq!((indices, unknown), (vec![0, 1], vec!['z', '!']));
    }

    #[test]
    fn a_stream_waits_for_whole_characters() {
        let tokenizer = Tokenizer::new(&plan::Tokenizer::Bytes).unwrap();
        let mut stream = Stream::after(&tokenizer.encode("aé").unwrap());
        let mut out = Vec::new();
        for index in tokenizer.encode("né€").unwrap() {
            out.push(stream.push(&tokenizer, index).unwrap());
        }
        assert_eq!(out, ["n", "", "é", "", "", "€"]);
        assert_eq!(stream.push(&tokenizer, 0xe2).unwrap(), "");
        assert_eq!(stream.finish(&tokenizer).unwrap(), "\u{fffd}");
    }

    #[test]
    fn a_tokenizer_json_encodes_and_decodes() {
        let json = r#"{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":null,
            "pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true},
            "post_processor":null,"decoder":{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true},
            "model":{"type":"BPE","dropout":null,"unk_token":null,"continuing_subword_prefix":null,"end_of_word_suffix":null,
            "fuse_unk":false,"byte_fallback":false,"vocab":{"h":0,"i":1,"Ġ":2,"hi":3,"Ġhi":4},
            "merges":["h i","Ġ hi"]}}"#;
        let tokenizer = Tokenizer::new(&plan::Tokenizer::Json(json.into())).unwrap();
        assert_eq!(tokenizer.encode("hi hi").unwrap(), [3, 4]);
        assert_eq!(tokenizer.decode(&[3, 4]).unwrap(), "hi hi");
        let mut stream = Stream::after(&[3]);
        assert_eq!(stream.push(&tokenizer, 4).unwrap(), " hi");
        assert!(Tokenizer::new(&plan::Tokenizer::Json("{".into())).is_err());
    }
}
