package gatewaystandin

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// objectIDBytes is the length of a document's ID, written as 24 hexadecimal digits.
const objectIDBytes = 12

// objectID is a document's ID. Any other value makes the decoding of the whole list fail
// (docs/behaviour.md#documents-a-gateway-cannot-decode).
type objectID string

// UnmarshalJSON decodes 24 hexadecimal digits, "", null and {"$oid":"…"}. It does not decode escapes.
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
