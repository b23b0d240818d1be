package apiserver

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/url"
	"strings"
	"unicode/utf8"

	"gatehouse/httpbody"
)

// Body is a request body after validation.
type Body struct {
	JSON json.RawMessage // compact, otherwise as the client wrote it
	Form url.Values      // of a form, besides JSON, which is the form encoded
	File []byte          // of a form with a file, in place of JSON
	Text []byte          // of a body that is declared as text/plain, in place of JSON: UTF-8 without NUL
}

// mediaTypeOf returns the media type of a Content-Type without its parameters, "" if it has none.
func mediaTypeOf(contentType string) string {
	mediaType, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return ""
	}
	return mediaType
}

// parseForm parses a form, in which the last of repeated fields counts, as in JSON.
func parseForm(raw []byte) (Body, error) {
	form, err := url.ParseQuery(string(raw))
	if err != nil {
		return Body{}, MalformedAt("", "is not a form", err)
	}
	for name, values := range form {
		form[name] = values[len(values)-1:]
	}
	return Body{JSON: json.RawMessage(form.Encode()), Form: form}, nil
}

// pemBegin is the beginning of a file in PEM.
const pemBegin = "-----BEGIN "

// parseFile returns the file in a form: the first part that has a file name, or else the first part. The form is not
// known by its Content-Type, but by its first line. A body that is a file in PEM is that file: curl sends it so with
// --data-binary.
func parseFile(raw []byte) (Body, error) {
	if bytes.HasPrefix(raw, []byte(pemBegin)) {
		return Body{File: raw}, nil
	}
	line, _, _ := bytes.Cut(raw, []byte("\n"))
	boundary, found := strings.CutPrefix(strings.TrimRight(string(line), "\r"), "--")
	if !found || boundary == "" {
		return Body{}, errNoFile
	}
	return fileOf(multipart.NewReader(bytes.NewReader(raw), boundary))
}

// errNoFile is returned without its cause, which may quote the file.
var errNoFile = MalformedAt("", "is not a form with a file", nil)

// fileOf returns the file in the parts of a form.
func fileOf(parts *multipart.Reader) (Body, error) {
	var first []byte
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) && first != nil {
			return nonEmptyFile(first)
		}
		if err != nil {
			return Body{}, errNoFile
		}
		content, err := io.ReadAll(part)
		switch {
		case err != nil:
			return Body{}, errNoFile
		case part.FileName() != "":
			return nonEmptyFile(content)
		case first == nil:
			first = content
		}
	}
}

// parseText returns a text. A byte order mark at its beginning stays.
func parseText(raw []byte) (Body, error) {
	switch {
	case !utf8.Valid(raw):
		return Body{}, MalformedAt("", "is not UTF-8", nil)
	case bytes.IndexByte(raw, 0) >= 0:
		return Body{}, MalformedAt("", "has a NUL", nil)
	}
	return Body{Text: raw}, nil
}

func nonEmptyFile(file []byte) (Body, error) {
	if len(bytes.TrimSpace(file)) == 0 {
		return Body{}, httpbody.ErrEmpty
	}
	return Body{File: file}, nil
}
