package config

import (
	"errors"
	"strconv"
	"strings"
)

// boolean is the value of a flag that also accepts yes and no, as people write in environment files.
type boolean bool

// Set implements pflag.Value.
func (b *boolean) Set(text string) error {
	switch strings.ToLower(text) {
	case "true", "1", "yes":
		*b = true
	case "false", "0", "no":
		*b = false
	default:
		return errors.New("must be true, 1, yes, false, 0 or no")
	}
	return nil
}

// String implements pflag.Value.
func (b *boolean) String() string { return strconv.FormatBool(bool(*b)) }

// Type implements pflag.Value.
func (*boolean) Type() string { return "bool" }
