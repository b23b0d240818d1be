package password_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/password"
)

func TestParsePolicy(t *testing.T) {
	t.Parallel()
	policy, err := password.ParsePolicy([]byte(`{"title":"User password schema","type":"string","minLength":6,` +
		`"multiCase":true,"minNumeric":2,"minSpecial":2,"disableSequential":true}`))
	require.NoError(t, err, "the example of Tyk's documentation")
	require.Equal(t, password.Policy{
		MinLength: 6, MultiCase: true, MinNumeric: 2, MinSpecial: 2, DisableSequential: true,
	}, policy)
	for schema, want := range map[string]string{
		``:                      "password schema: ",
		`{"minLength":"6"}`:     "password schema: ",
		`{"pattern":"^[a-z]"}`:  `unknown field "pattern"`,
		`{"type":"object"}`:     `type "object" is not string`,
		`{"minNumeric":1} {...`: "has more than one value",
	} {
		_, err := password.ParsePolicy([]byte(schema))
		require.ErrorContains(t, err, want, schema)
	}
}

func TestPolicyProblems(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		policy   password.Policy
		password string
		problems int
	}{
		{password.Policy{}, "", 0},
		{password.Policy{MinLength: 3}, "äöü", 0},
		{password.Policy{MinLength: 4}, "äöü", 1},
		{password.Policy{MultiCase: true}, "Äö", 0},
		{password.Policy{MultiCase: true}, "aaa1", 1},
		{password.Policy{MinNumeric: 2}, "a1b2", 0},
		{password.Policy{MinNumeric: 2}, "a1b", 1},
		{password.Policy{MinSpecial: 2}, "a@b%", 0},
		{password.Policy{MinSpecial: 1}, "a b", 1},
		{password.Policy{DisableSequential: true}, "ab 12 ba", 0},
		{password.Policy{DisableSequential: true}, "xabc", 1},
		{password.Policy{DisableSequential: true}, "x123", 1},
		{password.Policy{DisableSequential: true}, "111", 1},
		{password.Policy{DisableSequential: true}, "()*", 0},
		{password.Policy{MinLength: 9, MultiCase: true, MinNumeric: 1, MinSpecial: 1, DisableSequential: true}, "xxx", 5},
	} {
		require.Len(t, c.policy.Problems(c.password), c.problems, "%+v %s", c.policy, c.password)
	}
}

func TestMatchesAny(t *testing.T) {
	t.Parallel()
	hasher := password.NewHasher(password.Cost{MemoryKiB: 64, Iterations: 1})
	hash, err := hasher.Hash(t.Context(), "a", "second")
	require.NoError(t, err)
	first, err := hasher.Hash(t.Context(), "a", "first")
	require.NoError(t, err)
	for candidate, want := range map[string]bool{"first": true, "second": true, "third": false} {
		got, err := hasher.MatchesAny(t.Context(), "a", candidate, []string{first, hash})
		require.NoError(t, err)
		require.Equal(t, want, got, candidate)
	}
	_, err = hasher.MatchesAny(t.Context(), "a", "x", []string{"malformed"})
	require.Error(t, err)
}
