//! Attributes of memory, and permissions to access it.

use super::DescriptorError;

/// Says how the caches treat Normal memory (DEN0140, table 1.18).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cacheability {
    /// Not at all.
    NonCacheable,
    /// They hold what was written.
    WriteBack,
}

/// Says who sees Normal memory coherently (DEN0140, table 1.18).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shareability {
    /// One processing element.
    NonShareable,
    /// The outer domain.
    Outer,
    /// The inner domain: every processing element.
    Inner,
}

/// Says what Device memory permits: gathering, reordering, early acknowledgement (DEN0140, table 1.18).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeviceKind {
    /// None of them.
    NGnRnE,
    /// Early acknowledgement.
    NGnRE,
    /// Reordering, and early acknowledgement.
    NGRE,
    /// All of them.
    GRE,
}

/// Names a type of memory (DEN0140, table 1.18).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MemoryType {
    /// Leaves the choice to the owner, or to the memory's current type.
    #[default]
    NotSpecified,
    /// Device memory.
    Device(DeviceKind),
    /// Normal memory.
    Normal(Cacheability, Shareability),
}

impl MemoryType {
    /// Names Normal memory, cacheable, shared by all processing elements: what RAM is.
    pub const NORMAL: Self = Self::Normal(Cacheability::WriteBack, Shareability::Inner);
}

/// Holds the attributes of memory (DEN0140, table 1.18).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct MemoryAttributes {
    /// Whether the memory is Non-secure: bit 6, which the answer to a receiver since 1.1 has.
    pub non_secure: bool,
    /// Its type.
    pub memory_type: MemoryType,
}

impl MemoryAttributes {
    const NON_SECURE: u16 = 1 << 6;

    /// Describes Normal memory, cacheable and inner shareable.
    pub const NORMAL: Self = Self { non_secure: false, memory_type: MemoryType::NORMAL };

    /// Leaves the type open.
    pub const NOT_SPECIFIED: Self = Self { non_secure: false, memory_type: MemoryType::NotSpecified };

    /// Reads attributes.
    ///
    /// # Errors
    /// Says so if a reserved bit is set, or a field has a reserved value.
    pub const fn decode(raw: u16) -> Result<Self, DescriptorError> {
        if raw & !0x7f != 0 {
            return Err(DescriptorError::Attributes(raw));
        }
        let memory_type = match (raw >> 4 & 3, raw >> 2 & 3, raw & 3) {
            (0, 0, 0) => MemoryType::NotSpecified,
            (1, 0, 0) => MemoryType::Device(DeviceKind::NGnRnE),
            (1, 1, 0) => MemoryType::Device(DeviceKind::NGnRE),
            (1, 2, 0) => MemoryType::Device(DeviceKind::NGRE),
            (1, 3, 0) => MemoryType::Device(DeviceKind::GRE),
            (2, 1, 0) => MemoryType::Normal(Cacheability::NonCacheable, Shareability::NonShareable),
            (2, 1, 2) => MemoryType::Normal(Cacheability::NonCacheable, Shareability::Outer),
            (2, 1, 3) => MemoryType::Normal(Cacheability::NonCacheable, Shareability::Inner),
            (2, 3, 0) => MemoryType::Normal(Cacheability::WriteBack, Shareability::NonShareable),
            (2, 3, 2) => MemoryType::Normal(Cacheability::WriteBack, Shareability::Outer),
            (2, 3, 3) => MemoryType::Normal(Cacheability::WriteBack, Shareability::Inner),
            _ => return Err(DescriptorError::Attributes(raw)),
        };
        Ok(Self { non_secure: raw & Self::NON_SECURE != 0, memory_type })
    }

    /// Returns the attributes as the descriptor carries them.
    pub const fn encode(self) -> u16 {
        let space = if self.non_secure { Self::NON_SECURE } else { 0 };
        let memory_type = match self.memory_type {
            MemoryType::NotSpecified => 0,
            MemoryType::Device(kind) => {
                1 << 4
                    | match kind {
                        DeviceKind::NGnRnE => 0,
                        DeviceKind::NGnRE => 1 << 2,
                        DeviceKind::NGRE => 2 << 2,
                        DeviceKind::GRE => 3 << 2,
                    }
            }
            MemoryType::Normal(cacheability, shareability) => {
                2 << 4
                    | match cacheability {
                        Cacheability::NonCacheable => 1 << 2,
                        Cacheability::WriteBack => 3 << 2,
                    }
                    | match shareability {
                        Shareability::NonShareable => 0,
                        Shareability::Outer => 2,
                        Shareability::Inner => 3,
                    }
            }
        };
        space | memory_type
    }
}

/// Says whether data may be read and written (DEN0140, table 1.14).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DataAccess {
    /// Leaves it open.
    #[default]
    NotSpecified,
    /// Read.
    ReadOnly,
    /// Read and written.
    ReadWrite,
}

/// Says whether instructions may be fetched (DEN0140, table 1.14).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InstructionAccess {
    /// Leaves it open.
    #[default]
    NotSpecified,
    /// They may not.
    NotExecutable,
    /// They may.
    Executable,
}

/// Holds the permissions of an endpoint (DEN0140, table 1.14).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Permissions {
    /// Data.
    pub data: DataAccess,
    /// Instructions.
    pub instruction: InstructionAccess,
}

impl Permissions {
    /// Leaves both open.
    pub const NOT_SPECIFIED: Self =
        Self { data: DataAccess::NotSpecified, instruction: InstructionAccess::NotSpecified };

    /// Permits to read data, and says nothing about instructions, as a sender must.
    pub const READ_ONLY: Self = Self { data: DataAccess::ReadOnly, ..Self::NOT_SPECIFIED };

    /// Permits to read and write data, and says nothing about instructions, as a sender must.
    pub const READ_WRITE: Self = Self { data: DataAccess::ReadWrite, ..Self::NOT_SPECIFIED };

    /// Reads permissions.
    ///
    /// # Errors
    /// Says so if a reserved bit is set, or a field has a reserved value.
    pub const fn decode(raw: u8) -> Result<Self, DescriptorError> {
        let data = match raw & 3 {
            0 => DataAccess::NotSpecified,
            1 => DataAccess::ReadOnly,
            2 => DataAccess::ReadWrite,
            _ => return Err(DescriptorError::Permissions(raw)),
        };
        let instruction = match raw >> 2 {
            0 => InstructionAccess::NotSpecified,
            1 => InstructionAccess::NotExecutable,
            2 => InstructionAccess::Executable,
            _ => return Err(DescriptorError::Permissions(raw)),
        };
        Ok(Self { data, instruction })
    }

    /// Returns the permissions as the descriptor carries them.
    pub const fn encode(self) -> u8 {
        let data = match self.data {
            DataAccess::NotSpecified => 0,
            DataAccess::ReadOnly => 1,
            DataAccess::ReadWrite => 2,
        };
        let instruction = match self.instruction {
            InstructionAccess::NotSpecified => 0,
            InstructionAccess::NotExecutable => 1 << 2,
            InstructionAccess::Executable => 2 << 2,
        };
        data | instruction
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_and_back() {
        let mut known = 0;
        for raw in 0..=u16::MAX {
            if let Ok(attributes) = MemoryAttributes::decode(raw) {
                assert_eq!(attributes.encode(), raw);
                known += 1;
            }
        }
        // Not specified, four of Device, two by three of Normal; each Secure and Non-secure.
        assert_eq!(known, 2 * (1 + 4 + 2 * 3));
        assert_eq!(MemoryAttributes::NORMAL.encode(), 0x2f);
    }

    #[test]
    fn permissions_and_back() {
        let mut known = 0;
        for raw in 0..=u8::MAX {
            if let Ok(permissions) = Permissions::decode(raw) {
                assert_eq!(permissions.encode(), raw);
                known += 1;
            }
        }
        assert_eq!(known, 9);
        assert_eq!(Permissions::READ_WRITE.encode(), 2);
    }
}
