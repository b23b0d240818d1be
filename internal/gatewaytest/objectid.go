package gatewaytest

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// objectIDBytes is the length of a document id: 12 bytes, written as 24 hex digits.
const objectIDBytes = 12

// objectID is a document's id. Whatever else it holds breaks the whole list it is in (facts §3, §4).
type objectID string

// UnmarshalJSON takes 24 hex digits, "", null and {"$oid":"…"}. Digits are read as they are written: an escape is none.
func (id *objectID) UnmarshalJSON(data []byte) error {
	var text string
	if bytes.HasPrefix(data, []byte("{")) {
		var wrapped struct {
			OID string `json:"$oid"`
		}
		if err := json.Unmarshal(data, &wrapped); err != nil {
			return err
		}
		text = wrapped.OID
	} else if quoted := bytes.HasPrefix(data, []byte(`"`)); quoted {
		text = string(data[1 : len(data)-1])
	} else if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	raw, err := hex.DecodeString(text)
	if err != nil || (text != "" && len(raw) != objectIDBytes) {
		return fmt.Errorf("invalid ObjectId in JSON: %s", data)
	}
	*id = objectID(text)
	return nil
}
