package registry

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/statecraft-io/statecraft/runtime/identity"
)

// choriaItem is the data item that Choria signs. The signature is over the decoded plugins.
type choriaItem struct {
	Plugins   string `json:"plugins"`   // base64 of the list
	Signature string `json:"signature"` // hex
}

// ChoriaSpec reads Choria's plugin specification: the bare list, unsigned. Keys that Choria ignores are ignored.
func ChoriaSpec(list []byte) ([]Entry, error) {
	if len(list) > MaxEnvelope {
		return nil, fmt.Errorf("the list has %d bytes; %d are the most", len(list), MaxEnvelope)
	}
	var entries []*Entry
	if err := json.Unmarshal(list, &entries); err != nil {
		return nil, fmt.Errorf("reading the list of machines: %w", err)
	}
	all := []Entry{}
	for i, e := range entries {
		if e == nil {
			return nil, fmt.Errorf("entry %d of the list is null", i+1)
		}
		all = append(all, *e)
	}
	return all, validEntries(all)
}

// VerifyChoria reads Choria's signed data item {"plugins": base64, "signature": hex}. It has no serial, expiry or audience, so that whoever can
// write the item can bring back any that was ever signed. Errors are *Refusal, and those of ChoriaSpec.
func VerifyChoria(item []byte, key identity.PublicKey) ([]Entry, error) {
	var signed choriaItem
	if len(item) > MaxEnvelope {
		return nil, refuse(TooLarge, "it has %d bytes; %d are the most", len(item), MaxEnvelope)
	}
	if err := strictJSON(item, &signed); err != nil {
		return nil, refuse(Malformed, "it is no item of plugins and signature: %v", err)
	}
	list, err := base64.StdEncoding.DecodeString(signed.Plugins)
	if err != nil {
		return nil, refuse(Malformed, "its plugins are not base64: %v", err)
	}
	signature, err := hex.DecodeString(signed.Signature)
	if err != nil || !key.Verify(list, signature) {
		return nil, refuse(Unsigned, "the key %s has not signed it", key)
	}
	return ChoriaSpec(list)
}
