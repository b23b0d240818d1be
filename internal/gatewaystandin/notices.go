package gatewaystandin

import (
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

const (
	// noticeChannel has no key prefix.
	noticeChannel     = "tyk.cluster.notifications"
	noticeGroupReload = "GroupReload"
	noticeKeySpace    = "KeySpaceUpdateNotification"
	noticePurge       = "OAuthPurgeLapsedTokens"
)

// notification is a notice on the wire. Algorithm is Go's crypto.Hash, a number.
type notification struct {
	Command   string      `json:"command"`
	Payload   string      `json:"payload"`
	Signature string      `json:"signature"`
	Algorithm crypto.Hash `json:"algorithm"`
}

// notifier receives and publishes notices (docs/behaviour.md#notices).
type notifier struct {
	state         *state
	redis         *redis.Client // nil without a Redis: nothing is received or published
	sessions      *sessionCache
	requestReload func()

	mu   sync.Mutex // guards the fields below
	down bool       // whether the subscription is cut off
	cut  func()     // ends the subscription; nil if there is none
}

// run receives notices until ctx ends. It tries a lost Redis again after a pause; notices in between are lost.
func (n *notifier) run(ctx context.Context) {
	for ctx.Err() == nil {
		n.receive(ctx)
		n.state.subscribed.Store(false)
		pause(ctx, n.state.cfg.RedisPause)
	}
}

// setDown cuts the subscription off, and keeps it from being made anew, or ends that.
func (n *notifier) setDown(down bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down = down
	if down && n.cut != nil {
		n.cut()
	}
}

// subscribe subscribes, unless the subscription is cut off.
func (n *notifier) subscribe(ctx context.Context) *redis.PubSub {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.down {
		return nil
	}
	channel := n.redis.Subscribe(ctx, noticeChannel)
	n.cut = func() { _ = channel.Close() }
	return channel
}

// receive receives notices until the connection breaks.
func (n *notifier) receive(ctx context.Context) {
	channel := n.subscribe(ctx)
	if channel == nil {
		return
	}
	defer func() { _ = channel.Close() }()
	// Receive ignores its context while it reads.
	defer context.AfterFunc(ctx, func() { _ = channel.Close() })()
	for {
		message, err := channel.Receive(ctx)
		if err != nil {
			if ctx.Err() == nil {
				n.state.cfg.Log.Warn("receive notices failed, retrying", "err", err)
			}
			return
		}
		switch message := message.(type) {
		case *redis.Subscription:
			n.state.subscribed.Store(true)
		case *redis.Message:
			n.handle(message.Payload)
		}
	}
}

func (n *notifier) handle(raw string) {
	var received notification
	reason := ""
	switch {
	case json.Unmarshal([]byte(raw), &received) != nil:
		reason = ReasonMalformed
	case received.Algorithm != crypto.SHA256 || received.Signature != n.sign(received.Command, received.Payload):
		reason = ReasonSignature
	case !n.execute(received):
		reason = ReasonUnknown
	}
	if reason == "" {
		n.state.cfg.Log.Info("notice received", "command", received.Command, "payload", received.Payload)
	} else {
		n.state.cfg.Log.Warn("notice ignored", "notice", raw, "reason", reason)
	}
	n.state.notices.add(Notice{
		Command: received.Command, Payload: received.Payload, Accepted: reason == "", Reason: reason, Raw: raw,
	})
}

// execute executes a notice and reports whether its command is known. Some commands change nothing that the stand-in
// simulates.
func (n *notifier) execute(received notification) (known bool) {
	switch received.Command {
	case "ApiUpdated", "ApiRemoved", "ApiAdded", "PolicyChanged", noticeGroupReload:
		n.requestReload()
	case noticeKeySpace:
		for key := range strings.SplitSeq(received.Payload, ",") {
			n.sessions.drop(strings.TrimSuffix(key, ":hashed"))
		}
	case noticePurge:
		n.state.purges.Add(1)
	case "DeleteAPICache", "InvalidateJWKSCacheForAPI", "UserKeyReset", "NoticeConfigUpdated",
		"NoticeDashboardZeroConf":
	default:
		return false
	}
	return true
}

// sign returns hex(sha256(command + payload + node secret)).
func (n *notifier) sign(command, payload string) string {
	sum := sha256.Sum256([]byte(command + payload + n.state.cfg.NodeSecret))
	return hex.EncodeToString(sum[:])
}

// publish publishes a notice to all gateways of this Redis, including this one.
func (n *notifier) publish(ctx context.Context, command, payload string) {
	if n.redis == nil {
		return
	}
	message, err := json.Marshal(notification{command, payload, n.sign(command, payload), crypto.SHA256})
	if err != nil {
		return
	}
	if err := n.redis.Publish(ctx, noticeChannel, message).Err(); err != nil {
		n.state.cfg.Log.Warn("publish notice failed", "command", command, "err", err)
	}
}
