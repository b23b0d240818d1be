package gateway_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/gateway"
	"gatehouse/internal/gatewaytest"
)

func TestSecretOfTheGatewayIsReplaced(t *testing.T) {
	t.Parallel()
	control := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Tyk-Authorization") != "new-secret" {
			w.WriteHeader(http.StatusForbidden)
		}
		_, _ = w.Write([]byte(`{}`))
	}))
	t.Cleanup(control.Close)
	client, err := gateway.New(gateway.Config{Host: control.URL, Secret: "old-secret"})
	require.NoError(t, err)
	var refused *gateway.Refused
	require.ErrorAs(t, client.ReloadGroup(t.Context()), &refused)
	client.SetSecret("new-secret")
	require.NoError(t, client.ReloadGroup(t.Context()))
	(*gateway.Client)(nil).SetSecret("x") // no gateway
}

func TestHostIsPrintedWithoutPassword(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"http://user:hidden@", "user:hid@den@:80", "http://user:hidden@ho st"} {
		_, err := gateway.New(gateway.Config{Host: host})
		require.ErrorContains(t, err, "is not an address", host)
		require.NotContains(t, err.Error(), "hid", host)
	}
}

// TestSecretsOfTheRedisAreReplaced checks the password, and that a notice is sent for each node secret: gateways ignore
// those that are not signed with their own.
func TestSecretsOfTheRedisAreReplaced(t *testing.T) {
	t.Parallel()
	redis := gatewaytest.StartRedis(t, gatewaytest.WithPassword("new-password"))
	host, port := redis.Addr()
	client := gateway.NewRedis(gateway.RedisConfig{
		Addresses: []string{net.JoinHostPort(host, strconv.Itoa(port))}, Password: "old-password", NodeSecrets: []string{"old"},
	})
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	require.Error(t, client.Reload(t.Context()))

	client.SetSecrets("new-password", []string{"old", "new"})
	subscription := redis.Client().Subscribe(t.Context(), "tyk.cluster.notifications")
	t.Cleanup(func() { _ = subscription.Close() })
	_, err := subscription.Receive(t.Context()) // the confirmation
	require.NoError(t, err)
	require.NoError(t, client.Reload(t.Context()))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, secret := range []string{"old", "new"} {
		message, err := subscription.ReceiveMessage(ctx)
		require.NoError(t, err)
		var notice struct{ Command, Payload, Signature string }
		require.NoError(t, json.Unmarshal([]byte(message.Payload), &notice))
		sum := sha256.Sum256([]byte(notice.Command + notice.Payload + secret))
		require.Equal(t, hex.EncodeToString(sum[:]), notice.Signature, secret)
	}
	(*gateway.Redis)(nil).SetSecrets("x", nil) // no Redis
}

// TestErrorsHaveNoKey: the path of a request may have a key.
func TestErrorsHaveNoKey(t *testing.T) {
	t.Parallel()
	control := httptest.NewServer(http.NotFoundHandler())
	control.Close()
	client, err := gateway.New(gateway.Config{Host: control.URL})
	require.NoError(t, err)
	_, err = client.Session(t.Context(), gateway.KeyRef{ID: "the-key"})
	require.ErrorIs(t, err, gateway.ErrUnreachable)
	require.NotContains(t, err.Error(), "the-key")
}

func TestKeyOrg(t *testing.T) {
	t.Parallel()
	const org = "53ac07777cbb8c2d53000002"
	for key, want := range map[string]string{
		"": "", "a-name": "", org: "", org[:23] + "x-name": "", org + "name": org,
		base64.StdEncoding.EncodeToString([]byte(`{"org":"` + org + `","id":"x","h":"murmur64"}`)): org,
		base64.StdEncoding.EncodeToString([]byte(`"text"`)):                                        "",
		base64.StdEncoding.EncodeToString([]byte(`{"id":"x"}`)):                                    "",
	} {
		require.Equal(t, want, gateway.KeyOrg(key), key)
	}
}
