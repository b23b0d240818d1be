package contractcmd

import (
	"gatehouse/conformance"
	"gatehouse/contract"
)

// contracts are the documents that a command uses.
type contracts struct {
	spec *conformance.Spec
	// compiled are the same documents for validation.
	compiled []*contract.Contract
}

// contracts reads the files, or the contracts of gatehouse if there are none.
func (cfg Config) contracts(files []string) (c contracts, err error) {
	if c.spec, err = cfg.spec(files); err != nil {
		return c, err
	}
	if len(files) == 0 {
		documents, err := cfg.Documents()
		if err != nil {
			return c, err
		}
		compiled, err := contract.Load(contract.Rules{}, documents...)
		c.compiled = []*contract.Contract{compiled}
		return c, err
	}
	for _, file := range files {
		compiled, err := contract.LoadFile(contract.Rules{}, file)
		if err != nil {
			return c, withFaults(err, file)
		}
		c.compiled = append(c.compiled, compiled)
	}
	return c, nil
}

// spec reads the files, or the contracts of gatehouse if there are none.
func (cfg Config) spec(files []string) (*conformance.Spec, error) {
	if len(files) > 0 {
		spec, err := conformance.ReadSpec(files...)
		return spec, withFaults(err, files...)
	}
	documents, err := cfg.Documents()
	if err != nil {
		return nil, err
	}
	return conformance.ParseSpec(documents...)
}
