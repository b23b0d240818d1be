package httpbody

import (
	"bytes"
	"io"
)

// utf8BOM is the byte order mark that some editors and PowerShell put before a text in UTF-8. It is not JSON
// (RFC 8259, section 8.1), and skipped.
const utf8BOM = "\xef\xbb\xbf"

// bomLength is as many bytes as tell the encoding of a text.
const bomLength = len(utf8BOM)

// isUTF16 reports whether a text is in UTF-16: it begins with the byte order mark of it, or every other byte of its
// first character is 0. JSON begins with an ASCII character.
func isUTF16(text []byte) bool {
	return bytes.HasPrefix(text, []byte("\xff\xfe")) || bytes.HasPrefix(text, []byte("\xfe\xff")) ||
		len(text) > 1 && (text[0] == 0) != (text[1] == 0)
}

func errUTF16() error {
	return &MalformedError{Reason: "the body is in UTF-16: send it in UTF-8"}
}

// textReader is a reader of a text without its byte order mark.
type textReader struct {
	io.Reader
	io.Closer
}

// newTextReader reads the beginning of a body. It closes the body if it returns an error.
func newTextReader(body io.ReadCloser) (io.ReadCloser, error) {
	start := make([]byte, bomLength)
	n, err := io.ReadFull(body, start)
	start = start[:n]
	if err == io.EOF || err == io.ErrUnexpectedEOF { //nolint:errorlint // a shorter body; other errors may wrap them
		err = nil
	}
	if err == nil && isUTF16(start) {
		err = errUTF16()
	}
	if err != nil {
		_ = body.Close()
		return nil, err
	}
	start = bytes.TrimPrefix(start, []byte(utf8BOM))
	return textReader{io.MultiReader(bytes.NewReader(start), body), body}, nil
}
