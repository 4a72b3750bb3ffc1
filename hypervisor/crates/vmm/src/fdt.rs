//! Writes flattened device trees (Devicetree Specification 0.4, chapter 5) into memory that is set aside for them.

const MAGIC: u32 = 0xd00d_feed;
const VERSION: u32 = 17;
const COMPATIBLE_VERSION: u32 = 16;
const HEADER_SIZE: usize = 40;
/// The one entry of the memory reservation block: its end.
const RESERVATIONS_SIZE: usize = 16;

const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROPERTY: u32 = 3;
const END: u32 = 9;

/// Says that a device tree does not fit into the memory that is set aside for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Writes a device tree from its beginning to its end. The names of properties are put behind it, each once, so they are
/// those of a table that is known before.
#[derive(Debug)]
pub struct Writer<'a> {
    blob: &'a mut [u8],
    at: usize,
    names: &'a [&'a str],
    depth: usize,
}

impl<'a> Writer<'a> {
    /// Begins a device tree whose properties have the names of `names`.
    ///
    /// # Errors
    /// Says so if not even a header fits.
    pub fn new(blob: &'a mut [u8], names: &'a [&'a str]) -> Result<Self, Full> {
        let start = HEADER_SIZE.saturating_add(RESERVATIONS_SIZE);
        blob.get_mut(..start).ok_or(Full)?.fill(0);
        Ok(Self { blob, at: start, names, depth: 0 })
    }

    /// Begins a node; the root's name is empty.
    ///
    /// # Errors
    /// Says so if it does not fit.
    pub fn begin(&mut self, name: &str) -> Result<(), Full> {
        self.word(BEGIN_NODE)?;
        self.bytes(name.as_bytes())?;
        self.bytes(&[0])?;
        self.depth = self.depth.saturating_add(1);
        self.pad()
    }

    /// Ends the node that was begun last.
    ///
    /// # Errors
    /// Says so if it does not fit.
    pub fn end(&mut self) -> Result<(), Full> {
        self.depth = self.depth.saturating_sub(1);
        self.word(END_NODE)
    }

    /// Writes a property whose value is these pieces, one after the other.
    ///
    /// # Errors
    /// Says so if it does not fit, or the name is not in the table.
    pub fn pieces(&mut self, name: &str, value: &[&[u8]]) -> Result<(), Full> {
        let length = value.iter().map(|piece| piece.len()).fold(0, usize::saturating_add);
        self.word(PROPERTY)?;
        self.word(u32::try_from(length).map_err(|_| Full)?)?;
        self.word(self.name_offset(name)?)?;
        for piece in value {
            self.bytes(piece)?;
        }
        self.pad()
    }

    /// Writes a property that has no value.
    ///
    /// # Errors
    /// As [`Self::pieces`].
    pub fn flag(&mut self, name: &str) -> Result<(), Full> {
        self.pieces(name, &[])
    }

    /// Writes a property whose value is a text.
    ///
    /// # Errors
    /// As [`Self::pieces`].
    pub fn text(&mut self, name: &str, value: &str) -> Result<(), Full> {
        self.pieces(name, &[value.as_bytes(), &[0]])
    }

    /// Writes a property whose value is texts.
    ///
    /// # Errors
    /// As [`Self::pieces`].
    pub fn texts<const N: usize>(&mut self, name: &str, value: [&str; N]) -> Result<(), Full> {
        let length = value.iter().map(|text| text.len().saturating_add(1)).fold(0, usize::saturating_add);
        self.word(PROPERTY)?;
        self.word(u32::try_from(length).map_err(|_| Full)?)?;
        self.word(self.name_offset(name)?)?;
        for text in value {
            self.bytes(text.as_bytes())?;
            self.bytes(&[0])?;
        }
        self.pad()
    }

    /// Writes a property whose value is cells.
    ///
    /// # Errors
    /// As [`Self::pieces`].
    pub fn cells(&mut self, name: &str, value: &[u32]) -> Result<(), Full> {
        self.word(PROPERTY)?;
        self.word(u32::try_from(value.len()).ok().and_then(|count| count.checked_mul(4)).ok_or(Full)?)?;
        self.word(self.name_offset(name)?)?;
        value.iter().try_for_each(|cell| self.word(*cell))
    }

    /// Writes a property whose value is numbers of 64 bits, two cells each.
    ///
    /// # Errors
    /// As [`Self::pieces`].
    pub fn numbers(&mut self, name: &str, value: &[u64]) -> Result<(), Full> {
        self.word(PROPERTY)?;
        self.word(u32::try_from(value.len()).ok().and_then(|count| count.checked_mul(8)).ok_or(Full)?)?;
        self.word(self.name_offset(name)?)?;
        value.iter().try_for_each(|number| self.bytes(&number.to_be_bytes()))
    }

    /// Ends the device tree and returns it.
    ///
    /// # Errors
    /// Says so if it does not fit, or a node has not been ended.
    pub fn finish(mut self) -> Result<&'a [u8], Full> {
        if self.depth != 0 {
            return Err(Full);
        }
        self.word(END)?;
        let structure = HEADER_SIZE.saturating_add(RESERVATIONS_SIZE);
        let strings = self.at;
        let structure_size = strings.checked_sub(structure).ok_or(Full)?;
        for name in self.names {
            self.bytes(name.as_bytes())?;
            self.bytes(&[0])?;
        }
        let total = self.at;
        let strings_size = total.checked_sub(strings).ok_or(Full)?;
        self.at = 0;
        let offset = |value: usize| u32::try_from(value).map_err(|_| Full);
        for field in [
            MAGIC,
            offset(total)?,
            offset(structure)?,
            offset(strings)?,
            offset(HEADER_SIZE)?,
            VERSION,
            COMPATIBLE_VERSION,
            0,
            offset(strings_size)?,
            offset(structure_size)?,
        ] {
            self.word(field)?;
        }
        self.blob.get(..total).ok_or(Full)
    }

    fn name_offset(&self, name: &str) -> Result<u32, Full> {
        let mut offset: u32 = 0;
        for known in self.names {
            if *known == name {
                return Ok(offset);
            }
            let length = u32::try_from(known.len()).map_err(|_| Full)?;
            offset = offset.checked_add(length).and_then(|offset| offset.checked_add(1)).ok_or(Full)?;
        }
        Err(Full)
    }

    fn word(&mut self, word: u32) -> Result<(), Full> {
        self.bytes(&word.to_be_bytes())
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), Full> {
        let end = self.at.checked_add(bytes.len()).ok_or(Full)?;
        self.blob.get_mut(self.at..end).ok_or(Full)?.copy_from_slice(bytes);
        self.at = end;
        Ok(())
    }

    /// Fills up to a multiple of four bytes.
    fn pad(&mut self) -> Result<(), Full> {
        while self.at & 3 != 0 {
            self.bytes(&[0])?;
        }
        Ok(())
    }
}
