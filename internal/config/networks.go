package config

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Networks are IP networks, written as addresses or as networks (10.0.0.0/8), separated by commas.
type Networks []netip.Prefix

// Set implements pflag.Value. It adds networks to those that are set.
func (n *Networks) Set(text string) error {
	var errs []error
	for each := range strings.SplitSeq(text, ",") {
		network, err := parseNetwork(strings.TrimSpace(each))
		errs = append(errs, err)
		*n = append(*n, network)
	}
	return errors.Join(errs...)
}

func parseNetwork(text string) (netip.Prefix, error) {
	if address, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(address.Unmap(), address.Unmap().BitLen()), nil
	}
	network, err := netip.ParsePrefix(text)
	if err != nil {
		return network, fmt.Errorf("%q is neither an IP address nor a network such as 10.0.0.0/8", text)
	}
	if network.Bits() == 0 {
		return network, fmt.Errorf("%s has all addresses: every client could choose its own", text)
	}
	return network.Masked(), nil
}

// String implements pflag.Value.
func (n *Networks) String() string {
	texts := make([]string, 0, len(*n))
	for _, network := range *n {
		texts = append(texts, network.String())
	}
	return strings.Join(texts, ",")
}

// Type implements pflag.Value.
func (*Networks) Type() string { return "networks" }
