// Package remoteaddr finds the addresses of clients, behind proxies too.
package remoteaddr

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// ipv6Network is the length of the prefix that one client of IPv6 usually has all addresses of.
const ipv6Network = 64

// Network returns the addresses that count as one client: an IPv4 address, or the network of an IPv6 address. Invalid
// addresses are one client.
func Network(address netip.Addr) netip.Prefix {
	bits := address.BitLen()
	if address.Is6() {
		bits = ipv6Network
	}
	network, err := address.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return network
}

// Text returns an address for the log, "" for an invalid one.
func Text(address netip.Addr) string {
	if !address.IsValid() {
		return ""
	}
	return address.String()
}

// Proxies are the addresses of proxies that append the address of their client to X-Forwarded-For.
type Proxies []netip.Prefix

// Contains reports whether an address is that of a proxy.
func (p Proxies) Contains(address netip.Addr) bool {
	return slices.ContainsFunc(p, func(network netip.Prefix) bool { return network.Contains(address) })
}

// OfRequest returns the address that a request comes from: that of its connection or, if that is one of the proxies,
// the last address in X-Forwarded-For that is not. Everything further to the left may be made up by the client. The
// address is invalid if the connection has none.
//
// Echo's own function does not read addresses with a port, which some proxies append, and copies the whole header.
func (p Proxies) OfRequest(r *http.Request) netip.Addr {
	address := parse(r.RemoteAddr)
	if !p.Contains(address) {
		return address
	}
	for _, line := range slices.Backward(r.Header["X-Forwarded-For"]) {
		for line != "" {
			comma := strings.LastIndexByte(line, ',')
			next := parse(strings.TrimSpace(line[comma+1:]))
			if !next.IsValid() { // no proxy has written it
				return address
			}
			if address = next; !p.Contains(address) {
				return address
			}
			line = line[:max(comma, 0)]
		}
	}
	return address
}

// IsHTTPS reports whether the client has sent a request over TLS: to this server, or to a proxy that states so in
// X-Forwarded-Proto.
func (p Proxies) IsHTTPS(r *http.Request) bool {
	return r.TLS != nil || p.Contains(parse(r.RemoteAddr)) && strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https")
}

// OfConn returns the address at the other end of a connection; it is invalid unless the connection is TCP.
func OfConn(remote net.Addr) netip.Addr {
	tcp, ok := remote.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return normal(tcp.AddrPort().Addr())
}

// parse returns an IP address that is written with or without a port; an invalid one for anything else.
func parse(text string) netip.Addr {
	if address, err := netip.ParseAddrPort(text); err == nil {
		return normal(address.Addr())
	}
	address, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"))
	if err != nil {
		return netip.Addr{}
	}
	return normal(address)
}

// normal returns an address without its zone, and an IPv4 address that is written as one of IPv6 as what it is.
func normal(address netip.Addr) netip.Addr { return address.Unmap().WithZone("") }
