//! Every statement that a ledger is read and written with.
//!
//! Rows go in as arrays, a column each, so that a batch is one statement a table however large it is.

macro_rules! statements {
    ($($(#[$comment:meta])* $name:ident = $text:expr;)*) => {
        /// A statement.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Sql {
            $($(#[$comment])* $name,)*
        }

        impl Sql {
            /// The texts of all, in the order of their declaration.
            pub(super) const TEXTS: &[&str] = &[$($text,)*];
        }
    };
}

statements! {
    /// Notes a writer's batch, once: changes no row when that batch was committed already, and waits for whatever is
    /// still writing it.
    Mark = "
        INSERT INTO farthing_writers (id, batch, day) VALUES ($1, $2, $3)
        ON CONFLICT (id) DO UPDATE SET batch = excluded.batch, day = excluded.day
        WHERE farthing_writers.batch < excluded.batch";

    Secret = "SELECT challenge_secret FROM farthing_ledger WHERE id = 1";

    AddAccounts = "
        INSERT INTO farthing_accounts (id, batches)
        SELECT id, 0 FROM UNNEST($1::BYTEA[]) AS named (id) ORDER BY id
        ON CONFLICT (id) DO NOTHING";
    /// In one order everywhere, so that no two batches wait for each other.
    HoldAccounts = "SELECT id FROM farthing_accounts WHERE id = ANY ($1::BYTEA[]) ORDER BY id FOR UPDATE";
    ChangeAccounts = "UPDATE farthing_accounts SET batches = batches + 1 WHERE id = ANY ($1::BYTEA[])";

    /// The account of a channel never changes, so it may be asked for before the account is held.
    AccountsOfChannels = "SELECT DISTINCT account FROM farthing_channels WHERE id = ANY ($1::BYTEA[])";
    ChannelsOfAccounts = "
        SELECT id, payer, authorized_signer, salt, accepted, spent, credited, redeemed
        FROM farthing_channels WHERE account = ANY ($1::BYTEA[])";
    Channel = "
        SELECT id, payer, authorized_signer, salt, accepted, spent, credited, redeemed
        FROM farthing_channels WHERE id = $1";
    AllChannels = "
        SELECT id, payer, authorized_signer, salt, accepted, spent, credited, redeemed FROM farthing_channels";
    /// Each with the time of its lowest charge above what was redeemed; there is one, for what is due was promised.
    OwingChannels = "
        SELECT id, payer, authorized_signer, salt, accepted, spent, credited, redeemed,
            (SELECT unix_time FROM farthing_charges WHERE channel = id AND cumulative_amount > redeemed
                ORDER BY cumulative_amount LIMIT 1)
        FROM farthing_channels WHERE spent - credited > redeemed";
    PutChannels = "
        INSERT INTO farthing_channels
            (id, account, payer, authorized_signer, salt, accepted, spent, credited, redeemed)
        SELECT * FROM UNNEST($1::BYTEA[], $2::BYTEA[], $3::BYTEA[], $4::BYTEA[], $5::BYTEA[],
            $6::NUMERIC[], $7::NUMERIC[], $8::NUMERIC[], $9::NUMERIC[])
        ON CONFLICT (id) DO UPDATE SET accepted = excluded.accepted, spent = excluded.spent,
            credited = excluded.credited, redeemed = excluded.redeemed";

    Charges = "
        SELECT channel, cumulative_amount, signature, price, item, request, unearned_credit, unix_time
        FROM UNNEST($1::BYTEA[], $2::NUMERIC[]) AS wanted (channel, cumulative_amount)
        JOIN farthing_charges USING (channel, cumulative_amount)";
    /// The charge that paid for a purchase; the last, if several did.
    ChargeOfPurchase = "
        SELECT channel, cumulative_amount, signature, price, item, request, unearned_credit, unix_time
        FROM farthing_charges WHERE authorized_signer = $1 AND request = $2
        ORDER BY unix_time DESC, cumulative_amount DESC LIMIT 1";
    LastChargeUpTo = "
        SELECT channel, cumulative_amount, signature, price, item, request, unearned_credit, unix_time
        FROM farthing_charges WHERE channel = $1 AND cumulative_amount <= $2
        ORDER BY cumulative_amount DESC LIMIT 1";
    FirstChargeFrom = "
        SELECT channel, cumulative_amount, signature, price, item, request, unearned_credit, unix_time
        FROM farthing_charges WHERE channel = $1 AND cumulative_amount >= $2
        ORDER BY cumulative_amount LIMIT 1";
    AllCharges = "
        SELECT channel, cumulative_amount, signature, price, item, request, unearned_credit, unix_time
        FROM farthing_charges";
    AddCharges = "
        INSERT INTO farthing_charges
            (channel, cumulative_amount, signature, price, item, authorized_signer, request, unearned_credit, unix_time)
        SELECT * FROM UNNEST($1::BYTEA[], $2::NUMERIC[], $3::BYTEA[], $4::NUMERIC[], $5::TEXT[], $6::BYTEA[],
            $7::BYTEA[], $8::NUMERIC[], $9::BIGINT[])";

    Credits = "
        SELECT channel, cumulative_amount, amount, unix_time
        FROM UNNEST($1::BYTEA[], $2::NUMERIC[]) AS wanted (channel, cumulative_amount)
        JOIN farthing_credits USING (channel, cumulative_amount)";
    AllCredits = "SELECT channel, cumulative_amount, amount, unix_time FROM farthing_credits";
    AddCredits = "
        INSERT INTO farthing_credits (channel, cumulative_amount, amount, unix_time)
        SELECT * FROM UNNEST($1::BYTEA[], $2::NUMERIC[], $3::NUMERIC[], $4::BIGINT[])";

    AllFinalRedemptions = "SELECT channel, redeemed, paid, block, unix_time FROM farthing_final_redemptions";
    AddFinalRedemptions = "
        INSERT INTO farthing_final_redemptions (channel, redeemed, paid, block, unix_time)
        SELECT * FROM UNNEST($1::BYTEA[], $2::NUMERIC[], $3::NUMERIC[], $4::NUMERIC[], $5::BIGINT[])";

    AllRedemptions = "
        SELECT hash, sender, nonce, max_fee_per_gas, max_priority_fee_per_gas, closes, unix_time, state, block,
            gas_used, gas_price, channel, cumulative_amount
        FROM farthing_redemptions LEFT JOIN farthing_redemption_vouchers USING (hash) ORDER BY hash, place";
    UnsettledRedemptions = "
        SELECT hash, sender, nonce, max_fee_per_gas, max_priority_fee_per_gas, closes, unix_time, state, block,
            gas_used, gas_price, channel, cumulative_amount
        FROM farthing_redemptions LEFT JOIN farthing_redemption_vouchers USING (hash)
        WHERE state IN ('sent', 'mined') ORDER BY hash, place";
    Redemption = "
        SELECT hash, sender, nonce, max_fee_per_gas, max_priority_fee_per_gas, closes, unix_time, state, block,
            gas_used, gas_price, channel, cumulative_amount
        FROM farthing_redemptions LEFT JOIN farthing_redemption_vouchers USING (hash)
        WHERE hash = $1 ORDER BY place";
    /// What became of some. Held, so that nobody makes one of them final meanwhile.
    HoldRedemptions = "
        SELECT hash, state, block, gas_used, gas_price FROM farthing_redemptions
        WHERE hash = ANY ($1::BYTEA[]) ORDER BY hash FOR UPDATE";
    PutRedemptions = "
        INSERT INTO farthing_redemptions (hash, sender, nonce, max_fee_per_gas, max_priority_fee_per_gas, closes,
            unix_time, state, block, gas_used, gas_price)
        SELECT * FROM UNNEST($1::BYTEA[], $2::BYTEA[], $3::NUMERIC[], $4::NUMERIC[], $5::NUMERIC[], $6::BOOLEAN[],
            $7::BIGINT[], $8::TEXT[], $9::NUMERIC[], $10::NUMERIC[], $11::NUMERIC[])
        ON CONFLICT (hash) DO UPDATE SET state = excluded.state, block = excluded.block, gas_used = excluded.gas_used,
            gas_price = excluded.gas_price";
    /// A transaction's hash fixes its vouchers, so they are written once.
    AddRedemptionVouchers = "
        INSERT INTO farthing_redemption_vouchers (hash, place, channel, cumulative_amount)
        SELECT * FROM UNNEST($1::BYTEA[], $2::BIGINT[], $3::BYTEA[], $4::NUMERIC[])
        ON CONFLICT (hash, place) DO NOTHING";

    /// Held until the batch is committed: what was fenced by this lease is there before it passes on.
    HoldLease = "SELECT holder, fence, until_unix_time FROM farthing_lease WHERE id = 1 FOR UPDATE";
    PutLease = "
        UPDATE farthing_lease SET holder = changed.holder, fence = changed.fence, until_unix_time = changed.until
        FROM UNNEST($1::BYTEA[], $2::NUMERIC[], $3::BIGINT[]) AS changed (holder, fence, until) WHERE id = 1";

    Relayed = "SELECT hash, request, unix_time, cost FROM farthing_relayed WHERE hash = ANY ($1::BYTEA[])";
    RelayedLast = "
        SELECT hash, farthing_relayed.request, unix_time, cost
        FROM farthing_relayed_last JOIN farthing_relayed USING (hash) WHERE farthing_relayed_last.request = $1";
    AllRelayed = "SELECT hash, request, unix_time, cost FROM farthing_relayed ORDER BY unix_time, hash";
    PutRelayed = "
        INSERT INTO farthing_relayed (hash, request, unix_time, cost)
        SELECT * FROM UNNEST($1::BYTEA[], $2::BYTEA[], $3::BIGINT[], $4::NUMERIC[])
        ON CONFLICT (hash) DO UPDATE SET request = excluded.request, unix_time = excluded.unix_time,
            cost = excluded.cost";
    PutRelayedLast = "
        INSERT INTO farthing_relayed_last (request, hash) SELECT * FROM UNNEST($1::BYTEA[], $2::BYTEA[])
        ON CONFLICT (request) DO UPDATE SET hash = excluded.hash";

    Strangers = "SELECT day, amount FROM farthing_strangers WHERE day = ANY ($1::BIGINT[])";
    HoldStrangers = "
        SELECT day, amount FROM farthing_strangers WHERE day = ANY ($1::BIGINT[]) ORDER BY day FOR UPDATE";
    AllStrangers = "SELECT day, amount FROM farthing_strangers";
    AddStrangers = "
        INSERT INTO farthing_strangers (day, amount) SELECT * FROM UNNEST($1::BIGINT[], $2::NUMERIC[])
        ON CONFLICT (day) DO NOTHING";
    /// Changes those days only whose sum is still what the batch was decided on.
    ChangeStrangers = "
        UPDATE farthing_strangers SET amount = changed.amount
        FROM UNNEST($1::BIGINT[], $2::NUMERIC[], $3::NUMERIC[]) AS changed (day, before, amount)
        WHERE farthing_strangers.day = changed.day AND farthing_strangers.amount = changed.before";

    RelaySpent = "SELECT day, amount FROM farthing_relay_spent WHERE day = ANY ($1::BIGINT[])";
    HoldRelaySpent = "
        SELECT day, amount FROM farthing_relay_spent WHERE day = ANY ($1::BIGINT[]) ORDER BY day FOR UPDATE";
    AddRelaySpent = "
        INSERT INTO farthing_relay_spent (day, amount) SELECT * FROM UNNEST($1::BIGINT[], $2::NUMERIC[])
        ON CONFLICT (day) DO NOTHING";
    /// As [`Sql::ChangeStrangers`].
    ChangeRelaySpent = "
        UPDATE farthing_relay_spent SET amount = changed.amount
        FROM UNNEST($1::BIGINT[], $2::NUMERIC[], $3::NUMERIC[]) AS changed (day, before, amount)
        WHERE farthing_relay_spent.day = changed.day AND farthing_relay_spent.amount = changed.before";
}
