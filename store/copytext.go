package store

import "bytes"

// appendCopyRow appends a row in the text format of COPY.
func appendCopyRow(to []byte, values [][]byte, columns []int) []byte {
	for i, column := range columns {
		if i > 0 {
			to = append(to, '\t')
		}
		to = appendCopyValue(to, values[column])
	}
	return append(to, '\n')
}

func appendCopyValue(to, value []byte) []byte {
	if value == nil {
		return append(to, `\N`...)
	}
	for {
		next := bytes.IndexAny(value, "\\\n\r\t")
		if next < 0 {
			return append(to, value...)
		}
		to = append(append(to, value[:next]...), '\\', copyEscapes[value[next]])
		value = value[next+1:]
	}
}

// copyEscapes has what follows the backslash in place of each byte that has a meaning to COPY.
var copyEscapes = [256]byte{'\\': '\\', '\n': 'n', '\r': 'r', '\t': 't'}
