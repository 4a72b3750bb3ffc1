//! Builds flattened device trees (Devicetree Specification 0.4, chapter 5).

/// Is a node that is being built.
#[derive(Clone, Debug)]
pub struct Node {
    name: String,
    properties: Vec<(String, Vec<u8>)>,
    nodes: Vec<Node>,
}

impl Node {
    /// Begins a node; the root's name is empty.
    pub fn new(name: &str) -> Self {
        Self { name: name.into(), properties: Vec::new(), nodes: Vec::new() }
    }

    /// Sets the property `name` to `value`, in place of one of that name.
    pub fn set(&mut self, name: &str, value: impl Value) {
        let value = value.bytes();
        match self.properties.iter_mut().find(|(found, _)| found == name) {
            Some((_, old)) => *old = value,
            None => self.properties.push((name.into(), value)),
        }
    }

    /// Adds the property `name` even if there is one of that name.
    pub fn set_again(&mut self, name: &str, value: impl Value) {
        self.properties.push((name.into(), value.bytes()));
    }

    /// Removes the property or the node `name`, which must be there.
    pub fn remove(&mut self, name: &str) {
        let count = self.properties.len() + self.nodes.len();
        self.properties.retain(|(found, _)| found != name);
        self.nodes.retain(|node| node.name != name);
        assert!(self.properties.len() + self.nodes.len() < count, "there is no {name} to remove");
    }

    /// Adds a node.
    pub fn add(&mut self, node: Node) {
        self.nodes.push(node);
    }

    /// Sets the property `name` to `value` and returns the node.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Value) -> Self {
        self.set(name, value);
        self
    }

    /// Adds a node and returns this one.
    #[must_use]
    pub fn with_node(mut self, node: Node) -> Self {
        self.add(node);
        self
    }

    /// Returns the node at `path` below this one, names separated by slashes, which must be there.
    pub fn at(&mut self, path: &str) -> &mut Node {
        path.split('/').fold(self, |node, name| {
            let known = node.nodes.iter().map(|node| node.name.clone()).collect::<Vec<_>>();
            node.nodes
                .iter_mut()
                .find(|node| node.name == name)
                .unwrap_or_else(|| panic!("there is no node {name}, but {known:?}"))
        })
    }

    /// Returns the device tree of which this node is the root.
    pub fn to_blob(&self) -> Vec<u8> {
        let (mut structure, mut strings) = (Vec::new(), Vec::new());
        self.write(&mut structure, &mut strings);
        word(&mut structure, 9);
        let reservations_offset: u32 = 40;
        let structure_offset = reservations_offset + 16;
        let strings_offset = structure_offset + structure.len() as u32;
        let total = strings_offset + strings.len() as u32;
        let mut blob = Vec::new();
        for field in [
            0xd00d_feed,
            total,
            structure_offset,
            strings_offset,
            reservations_offset,
            17,
            16,
            0,
            strings.len() as u32,
            structure.len() as u32,
        ] {
            word(&mut blob, field);
        }
        blob.extend([0; 16]);
        blob.extend(structure);
        blob.extend(strings);
        blob
    }

    fn write(&self, structure: &mut Vec<u8>, strings: &mut Vec<u8>) {
        word(structure, 1);
        structure.extend(self.name.bytes().chain([0]));
        pad(structure);
        for (name, value) in &self.properties {
            word(structure, 3);
            word(structure, value.len() as u32);
            word(structure, string(strings, name));
            structure.extend(value);
            pad(structure);
        }
        for node in &self.nodes {
            node.write(structure, strings);
        }
        word(structure, 2);
    }
}

fn word(block: &mut Vec<u8>, word: u32) {
    block.extend(word.to_be_bytes());
}

fn pad(block: &mut Vec<u8>) {
    block.resize(block.len().next_multiple_of(4), 0);
}

/// Returns where `name` lies in the strings block, after adding it if it is not there.
fn string(strings: &mut Vec<u8>, name: &str) -> u32 {
    let wanted: Vec<u8> = name.bytes().chain([0]).collect();
    let starts = (0..strings.len()).filter(|at| *at == 0 || strings[at - 1] == 0);
    match starts.into_iter().find(|at| strings[*at..].starts_with(&wanted)) {
        Some(at) => at as u32,
        None => {
            let at = strings.len() as u32;
            strings.extend(wanted);
            at
        }
    }
}

/// Can be the value of a property.
pub trait Value {
    /// Returns the bytes of the value.
    fn bytes(self) -> Vec<u8>;
}

/// Is the value of a property whose presence is what counts.
#[derive(Clone, Copy, Debug)]
pub struct Flag;

impl Value for Flag {
    fn bytes(self) -> Vec<u8> {
        Vec::new()
    }
}

/// One cell.
impl Value for u32 {
    fn bytes(self) -> Vec<u8> {
        self.to_be_bytes().into()
    }
}

/// Two cells.
impl Value for u64 {
    fn bytes(self) -> Vec<u8> {
        self.to_be_bytes().into()
    }
}

/// Cells.
impl<const N: usize> Value for [u32; N] {
    fn bytes(self) -> Vec<u8> {
        self.into_iter().flat_map(u32::to_be_bytes).collect()
    }
}

/// Pairs of cells.
impl<const N: usize> Value for [u64; N] {
    fn bytes(self) -> Vec<u8> {
        self.into_iter().flat_map(u64::to_be_bytes).collect()
    }
}

/// A text and its zero byte.
impl Value for &str {
    fn bytes(self) -> Vec<u8> {
        self.bytes().chain([0]).collect()
    }
}

/// The bytes as they are.
impl Value for Vec<u8> {
    fn bytes(self) -> Vec<u8> {
        self
    }
}
