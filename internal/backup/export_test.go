package backup

import "io"

// NewLimitedReader is NewReader with another limit of a line.
func NewLimitedReader(file io.Reader, maxLine int64) (*Reader, error) {
	return newReader(file, maxLine)
}
