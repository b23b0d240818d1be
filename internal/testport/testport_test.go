package testport

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReserve(t *testing.T) {
	t.Parallel()
	at, err := Address()
	require.NoError(t, err)
	listener, err := net.Listen("tcp", at)
	require.NoError(t, err, "a program of a test can listen on its port")
	require.NoError(t, listener.Close())
}

func TestReservedPortsAreNotGivenAgain(t *testing.T) {
	t.Parallel()
	port, err := Reserve()
	require.NoError(t, err)
	_, err = reserve(port)
	require.Error(t, err)
}

func TestPortsInUseAreNotGiven(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	port := listener.Addr().(*net.TCPAddr).Port
	_, err = reserve(port)
	require.Error(t, err)
	other, err := net.ListenPacket("udp", address(port))
	require.NoError(t, err, "the reservation is given back")
	require.NoError(t, other.Close())
}
