package gziplist

import (
	"encoding/binary"
	"hash/crc32"
	"math"
)

// header begins a gzip member (RFC 1952, section 2.3): deflate, no flags, no time, an unknown system.
const header = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"

// lastStored begins a block of deflate that is the last one, and not compressed (RFC 1951, section 3.2.4).
const lastStored = 1

// StoredOverhead is how much longer than its text a member is that AppendStored appends, in bytes.
const StoredOverhead = len(header) + 1 + 2 + 2 + 4 + 4

// AppendStored appends a text of at most 65,535 bytes as a gzip member that is not compressed: it takes no compressor,
// of which each needs some hundred KB. It panics for a longer text.
func AppendStored(to []byte, text string) []byte {
	if len(text) > math.MaxUint16 {
		panic("gziplist: text too long for a stored block")
	}
	to = append(to, header...)
	to = append(to, lastStored)
	to = binary.LittleEndian.AppendUint16(to, uint16(len(text)))
	to = binary.LittleEndian.AppendUint16(to, ^uint16(len(text)))
	to = append(to, text...)
	to = binary.LittleEndian.AppendUint32(to, crc32.ChecksumIEEE([]byte(text)))
	return binary.LittleEndian.AppendUint32(to, uint32(len(text)))
}
