package main

import (
	"errors"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/postgrespair"
	"gatehouse/internal/testprogram"
)

// The environment variables that TestChaos reads.
const (
	timeVariable = "CHAOS_TIME" // 1m in CI, 20m at night; else one round
	seedVariable = "CHAOS_SEED" // repeats a run
)

// notLoaded lists the operations that write nothing that must survive a kill, with the reason.
var notLoaded = map[string]string{
	"addKey":                "gateways store keys in their Redis, which loses everything",
	"createCustomKey":       "as addKey",
	"updateKey":             "as addKey",
	"deleteKey":             "as addKey",
	"updateApiKeyDetail":    "as addKey",
	"deleteApiKeyDetail":    "as addKey",
	"createBasicAuthUser":   "as addKey",
	"createNewClientApp":    "as addKey",
	"deleteOathClient":      "as addKey",
	"createCertificates":    "as addKey",
	"deleteCertificates":    "as addKey",
	"deleteOAuthTokens":     "as addKey",
	"setAdminLicense":       "stores nothing",
	"setLicense":            "stores nothing",
	"searchUser":            "only reads",
	"checkText":             "only reads",
	"createSession":         "who loses a session signs in again; server/sessions_test.go tests when it ends",
	"deleteSession":         "as createSession",
	"createOperatorSession": "as createSession",
	"bootstrap":             "works only while there is no organisation",
}

// TestChaos runs some rounds. The rehearsal, which is the first one, has to send each operation that writes.
func TestChaos(t *testing.T) {
	t.Parallel()
	testprogram.Need(t, "redis-server")
	cfg := config{rounds: 1, seed: uint64(time.Now().UnixNano()), only: -1, out: t.Output()}
	if text := os.Getenv(timeVariable); text != "" {
		var err error
		cfg.time, err = time.ParseDuration(text)
		require.NoError(t, err, timeVariable)
		cfg.rounds = 0
	}
	if text := os.Getenv(seedVariable); text != "" {
		var err error
		cfg.seed, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err, seedVariable)
	}
	needsPair(t)
	report, err := run(t.Context(), cfg)
	require.NoError(t, err)

	contracts, err := loadContracts()
	require.NoError(t, err)
	for _, op := range contracts.spec.Operations {
		why, except := notLoaded[op.ID]
		sent := report.operations[op.ID] > 0
		require.False(t, except && sent, "%s is sent: remove it from notLoaded (%s)", op.ID, why)
		require.True(t, !isWrite(op) || except || sent, "no kind in kinds.go sends %s", op.ID)
	}
}

// needsPair skips or fails the test, as testprogram.Missing does, if programs of Postgres are missing.
func needsPair(t *testing.T) {
	t.Helper()
	if _, err := postgrespair.New(t.Context(), postgrespair.Config{}); errors.Is(err, postgrespair.ErrMissing) {
		testprogram.Missing(t, err.Error())
	}
}
