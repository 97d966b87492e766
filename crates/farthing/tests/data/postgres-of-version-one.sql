-- A ledger as the first version of the schema left it.

CREATE TABLE IF NOT EXISTS farthing_schema (
    id SMALLINT PRIMARY KEY CHECK (id = 1),
    version INTEGER NOT NULL
);

-- Whose ledger this is.
CREATE TABLE farthing_ledger (
    id SMALLINT PRIMARY KEY CHECK (id = 1),
    chain_id NUMERIC(39, 0) NOT NULL,
    escrow BYTEA NOT NULL,
    payee BYTEA NOT NULL,
    token BYTEA NOT NULL,
    challenge_secret BYTEA NOT NULL,
    -- Whether a ledger is being imported: what is there is not all of it.
    importing BOOLEAN NOT NULL
);

-- The last batch of each writer that was committed: tells it, after a lost answer, whether its batch was.
CREATE TABLE farthing_writers (
    id BYTEA PRIMARY KEY,
    batch BIGINT NOT NULL,
    day BIGINT NOT NULL
);

-- Every batch holds the rows of its accounts, so that an account's books change in one batch at a time, and changes
-- them, so that this is so at stricter isolation levels as well.
CREATE TABLE farthing_accounts (
    id BYTEA PRIMARY KEY,
    batches BIGINT NOT NULL
);

CREATE TABLE farthing_channels (
    id BYTEA PRIMARY KEY,
    account BYTEA NOT NULL,
    payer BYTEA NOT NULL,
    authorized_signer BYTEA NOT NULL,
    salt BYTEA NOT NULL,
    accepted NUMERIC(39, 0) NOT NULL,
    spent NUMERIC(39, 0) NOT NULL,
    credited NUMERIC(39, 0) NOT NULL,
    redeemed NUMERIC(39, 0) NOT NULL,
    CHECK (spent <= accepted AND credited <= spent AND credited >= 0 AND redeemed >= 0)
);
CREATE INDEX farthing_channels_by_account ON farthing_channels (account);

CREATE TABLE farthing_charges (
    channel BYTEA NOT NULL,
    cumulative_amount NUMERIC(39, 0) NOT NULL,
    signature BYTEA NOT NULL,
    price NUMERIC(39, 0) NOT NULL,
    item TEXT NOT NULL,
    authorized_signer BYTEA NOT NULL,
    request BYTEA NOT NULL,
    unearned_credit NUMERIC(39, 0) NOT NULL,
    unix_time BIGINT NOT NULL,
    PRIMARY KEY (channel, cumulative_amount)
);
CREATE INDEX farthing_charges_by_purchase ON farthing_charges (authorized_signer, request);

CREATE TABLE farthing_credits (
    channel BYTEA NOT NULL,
    cumulative_amount NUMERIC(39, 0) NOT NULL,
    amount NUMERIC(39, 0) NOT NULL,
    unix_time BIGINT NOT NULL,
    PRIMARY KEY (channel, cumulative_amount)
);

CREATE TABLE farthing_final_redemptions (
    channel BYTEA NOT NULL,
    redeemed NUMERIC(39, 0) NOT NULL,
    paid NUMERIC(39, 0) NOT NULL,
    block NUMERIC(39, 0) NOT NULL,
    unix_time BIGINT NOT NULL,
    PRIMARY KEY (channel, redeemed)
);

-- Transactions; gas and block of those that were mined.
CREATE TABLE farthing_redemptions (
    hash BYTEA PRIMARY KEY,
    sender BYTEA NOT NULL,
    nonce NUMERIC(39, 0) NOT NULL,
    max_fee_per_gas NUMERIC(39, 0) NOT NULL,
    max_priority_fee_per_gas NUMERIC(39, 0) NOT NULL,
    closes BOOLEAN NOT NULL,
    unix_time BIGINT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('sent', 'mined', 'failed')),
    block NUMERIC(39, 0),
    gas_used NUMERIC(39, 0),
    gas_price NUMERIC(39, 0),
    CHECK (state <> 'mined' OR (block IS NOT NULL AND gas_used IS NOT NULL AND gas_price IS NOT NULL))
);

CREATE TABLE farthing_redemption_vouchers (
    hash BYTEA NOT NULL,
    place BIGINT NOT NULL,
    channel BYTEA NOT NULL,
    cumulative_amount NUMERIC(39, 0) NOT NULL,
    PRIMARY KEY (hash, place)
);

CREATE TABLE farthing_relayed (
    hash BYTEA PRIMARY KEY,
    request BYTEA NOT NULL,
    unix_time BIGINT NOT NULL,
    cost NUMERIC(39, 0) NOT NULL
);

CREATE TABLE farthing_relayed_last (
    request BYTEA PRIMARY KEY,
    hash BYTEA NOT NULL
);

-- Sums by UTC day, counted from 1970-01-01.
CREATE TABLE farthing_strangers (
    day BIGINT PRIMARY KEY,
    amount NUMERIC(39, 0) NOT NULL
);
CREATE TABLE farthing_relay_spent (
    day BIGINT PRIMARY KEY,
    amount NUMERIC(39, 0) NOT NULL
);

INSERT INTO farthing_schema SELECT * FROM json_populate_record(NULL::farthing_schema, '{"id":1,"version":1}');
INSERT INTO farthing_ledger SELECT * FROM json_populate_record(NULL::farthing_ledger, E'{"id":1,"chain_id":31337,"escrow":"\\\\x3333333333333333333333333333333333333333","payee":"\\\\x7777777777777777777777777777777777777777","token":"\\\\x1111111111111111111111111111111111111111","challenge_secret":"\\\\x6175b708da85c196a0abadc9b3cb8416df79877c09d52067d6e592bd87c0c077","importing":false}');
INSERT INTO farthing_writers SELECT * FROM json_populate_record(NULL::farthing_writers, E'{"id":"\\\\xe91f2e58854427f49f2f6949f64f38e7","batch":9,"day":20779}');
INSERT INTO farthing_accounts SELECT * FROM json_populate_record(NULL::farthing_accounts, E'{"id":"\\\\x603aafdfb98b96267ed231c6f67cde4b13862159efa4ac48d8f92feda6adeac3","batches":1}');
INSERT INTO farthing_accounts SELECT * FROM json_populate_record(NULL::farthing_accounts, E'{"id":"\\\\x41836633e87c829e925565059c835fe8614327113f2737dff6262a0d71aebad6","batches":2}');
INSERT INTO farthing_accounts SELECT * FROM json_populate_record(NULL::farthing_accounts, E'{"id":"\\\\xe0956611899c1365e8e1707f4e38a16643f9c0f634931fbdc9dee0da73a1c502","batches":3}');
INSERT INTO farthing_accounts SELECT * FROM json_populate_record(NULL::farthing_accounts, E'{"id":"\\\\x81d9fdbc679de8b79f7372ea2ac6642ed5fb6e6edd85f0624d7ce4650cb53b76","batches":6}');
INSERT INTO farthing_accounts SELECT * FROM json_populate_record(NULL::farthing_accounts, E'{"id":"\\\\xfd478814243cfc1934f36540bb5a9aa0be9d5bfbb1eeccf457d09093b761d33e","batches":3}');
INSERT INTO farthing_accounts SELECT * FROM json_populate_record(NULL::farthing_accounts, E'{"id":"\\\\x40cdec1ab120f5a57fd24672cc74214d288d9fb23b6baf87405d92b1919a047f","batches":5}');
INSERT INTO farthing_accounts SELECT * FROM json_populate_record(NULL::farthing_accounts, E'{"id":"\\\\xa2fd4a82b90487f27baa2b956e22da3dcdc0a5cef499fcddcbc9430a19f5c779","batches":6}');
INSERT INTO farthing_accounts SELECT * FROM json_populate_record(NULL::farthing_accounts, E'{"id":"\\\\x69172822cb7f32c46c6a7d68b925cc4a3ffc0ccb537a5607e5fa9b31678f0428","batches":3}');
INSERT INTO farthing_channels SELECT * FROM json_populate_record(NULL::farthing_channels, E'{"id":"\\\\xbcb3cc8d01ffe1ec68f894cae633a6ad621fc4a07b45811c21a67ec536678bdc","account":"\\\\xe0956611899c1365e8e1707f4e38a16643f9c0f634931fbdc9dee0da73a1c502","payer":"\\\\x4a62316623ad457f02cdc5d997ded67a383ec569","authorized_signer":"\\\\x4a62316623ad457f02cdc5d997ded67a383ec569","salt":"\\\\x0101010101010101010101010101010101010101010101010101010101010101","accepted":27,"spent":0,"credited":0,"redeemed":0}');
INSERT INTO farthing_channels SELECT * FROM json_populate_record(NULL::farthing_channels, E'{"id":"\\\\xd5255361328a4f633da049f1653c51f4b29bc07313b264cb4def1b923bb53b02","account":"\\\\x603aafdfb98b96267ed231c6f67cde4b13862159efa4ac48d8f92feda6adeac3","payer":"\\\\x3325a78425f17a7e487eb5666b2bfd93abb06c70","authorized_signer":"\\\\x3325a78425f17a7e487eb5666b2bfd93abb06c70","salt":"\\\\x0101010101010101010101010101010101010101010101010101010101010101","accepted":6,"spent":6,"credited":0,"redeemed":0}');
INSERT INTO farthing_channels SELECT * FROM json_populate_record(NULL::farthing_channels, E'{"id":"\\\\x4a50149593dcb13b37c059551c841b24552c49dba0b335952b8bee84e4082efb","account":"\\\\x41836633e87c829e925565059c835fe8614327113f2737dff6262a0d71aebad6","payer":"\\\\x99c851eaa3c3976914d63b822c67e201ec0bfbb8","authorized_signer":"\\\\x99c851eaa3c3976914d63b822c67e201ec0bfbb8","salt":"\\\\x0101010101010101010101010101010101010101010101010101010101010101","accepted":16,"spent":2,"credited":0,"redeemed":0}');
INSERT INTO farthing_channels SELECT * FROM json_populate_record(NULL::farthing_channels, E'{"id":"\\\\x0e7d42783b2d307b6e44e94f07b1571cb1430807b50d03df23bf98c0cb14bd2d","account":"\\\\xfd478814243cfc1934f36540bb5a9aa0be9d5bfbb1eeccf457d09093b761d33e","payer":"\\\\x0cb030d11a8be48b60418857874deee61d1071e0","authorized_signer":"\\\\x0cb030d11a8be48b60418857874deee61d1071e0","salt":"\\\\x0000000000000000000000000000000000000000000000000000000000000000","accepted":7,"spent":1,"credited":0,"redeemed":0}');
INSERT INTO farthing_channels SELECT * FROM json_populate_record(NULL::farthing_channels, E'{"id":"\\\\xb38b159cb185742b37d46b381177888ef73b31cc3d3a63a402cf98c105addfe3","account":"\\\\xa2fd4a82b90487f27baa2b956e22da3dcdc0a5cef499fcddcbc9430a19f5c779","payer":"\\\\x1a642f0e3c3af545e7acbd38b07251b3990914f1","authorized_signer":"\\\\x1a642f0e3c3af545e7acbd38b07251b3990914f1","salt":"\\\\x0000000000000000000000000000000000000000000000000000000000000000","accepted":26,"spent":2,"credited":1,"redeemed":26}');
INSERT INTO farthing_channels SELECT * FROM json_populate_record(NULL::farthing_channels, E'{"id":"\\\\xe9101e20f7e3de2822f1330918f5cf7fed5c1dcd42803e91260bb7ab58f6b417","account":"\\\\x81d9fdbc679de8b79f7372ea2ac6642ed5fb6e6edd85f0624d7ce4650cb53b76","payer":"\\\\xd09ad14080d4b257a819a4f579b8485be88f086c","authorized_signer":"\\\\xd09ad14080d4b257a819a4f579b8485be88f086c","salt":"\\\\x0101010101010101010101010101010101010101010101010101010101010101","accepted":21,"spent":10,"credited":0,"redeemed":0}');
INSERT INTO farthing_channels SELECT * FROM json_populate_record(NULL::farthing_channels, E'{"id":"\\\\x4604ce941ce610f9b85c887d811c609bd59c7f998d3f36d888a43d15c51601f3","account":"\\\\xe0956611899c1365e8e1707f4e38a16643f9c0f634931fbdc9dee0da73a1c502","payer":"\\\\x4a62316623ad457f02cdc5d997ded67a383ec569","authorized_signer":"\\\\x4a62316623ad457f02cdc5d997ded67a383ec569","salt":"\\\\x0000000000000000000000000000000000000000000000000000000000000000","accepted":14,"spent":13,"credited":0,"redeemed":0}');
INSERT INTO farthing_channels SELECT * FROM json_populate_record(NULL::farthing_channels, E'{"id":"\\\\x8a9bbedafe55f19b0ccd40d9ca2fa889d1276242293c72f55da22c8898d7be9d","account":"\\\\x40cdec1ab120f5a57fd24672cc74214d288d9fb23b6baf87405d92b1919a047f","payer":"\\\\x5050a4f4b3f9338c3472dcc01a87c76a144b3c9c","authorized_signer":"\\\\x5050a4f4b3f9338c3472dcc01a87c76a144b3c9c","salt":"\\\\x0101010101010101010101010101010101010101010101010101010101010101","accepted":19,"spent":10,"credited":0,"redeemed":0}');
INSERT INTO farthing_channels SELECT * FROM json_populate_record(NULL::farthing_channels, E'{"id":"\\\\x163c8b9c1ecd93f0db8676ecffc218560605c0cebabb79a04d028cc3a15bc678","account":"\\\\x81d9fdbc679de8b79f7372ea2ac6642ed5fb6e6edd85f0624d7ce4650cb53b76","payer":"\\\\xd09ad14080d4b257a819a4f579b8485be88f086c","authorized_signer":"\\\\xd09ad14080d4b257a819a4f579b8485be88f086c","salt":"\\\\x0000000000000000000000000000000000000000000000000000000000000000","accepted":22,"spent":10,"credited":7,"redeemed":9}');
INSERT INTO farthing_channels SELECT * FROM json_populate_record(NULL::farthing_channels, E'{"id":"\\\\x187cd3b295772a0af958f97969cfbde9d180f1eb3051b0fc517075d1b5d09c90","account":"\\\\xfd478814243cfc1934f36540bb5a9aa0be9d5bfbb1eeccf457d09093b761d33e","payer":"\\\\x0cb030d11a8be48b60418857874deee61d1071e0","authorized_signer":"\\\\x0cb030d11a8be48b60418857874deee61d1071e0","salt":"\\\\x0101010101010101010101010101010101010101010101010101010101010101","accepted":29,"spent":0,"credited":0,"redeemed":0}');
INSERT INTO farthing_channels SELECT * FROM json_populate_record(NULL::farthing_channels, E'{"id":"\\\\xce265fd7d2f7ee4af131b71b1805dd76dc757d74d834fbeca58f81ec4cdad733","account":"\\\\x40cdec1ab120f5a57fd24672cc74214d288d9fb23b6baf87405d92b1919a047f","payer":"\\\\x5050a4f4b3f9338c3472dcc01a87c76a144b3c9c","authorized_signer":"\\\\x5050a4f4b3f9338c3472dcc01a87c76a144b3c9c","salt":"\\\\x0000000000000000000000000000000000000000000000000000000000000000","accepted":18,"spent":0,"credited":0,"redeemed":0}');
INSERT INTO farthing_channels SELECT * FROM json_populate_record(NULL::farthing_channels, E'{"id":"\\\\x17834fe56f3f99b13930bf00046154dd93bd9d2a1d7006af7dc65ed33f3dac9d","account":"\\\\x69172822cb7f32c46c6a7d68b925cc4a3ffc0ccb537a5607e5fa9b31678f0428","payer":"\\\\xc48b812bb43401392c037381aca934f4069c0517","authorized_signer":"\\\\xc48b812bb43401392c037381aca934f4069c0517","salt":"\\\\x0000000000000000000000000000000000000000000000000000000000000000","accepted":23,"spent":19,"credited":0,"redeemed":16}');
INSERT INTO farthing_channels SELECT * FROM json_populate_record(NULL::farthing_channels, E'{"id":"\\\\xf82d414411dd7b5753f62b92bec96005e36b467705bd03cf2a85c282d40e8d92","account":"\\\\xa2fd4a82b90487f27baa2b956e22da3dcdc0a5cef499fcddcbc9430a19f5c779","payer":"\\\\x1a642f0e3c3af545e7acbd38b07251b3990914f1","authorized_signer":"\\\\x1a642f0e3c3af545e7acbd38b07251b3990914f1","salt":"\\\\x0101010101010101010101010101010101010101010101010101010101010101","accepted":27,"spent":19,"credited":0,"redeemed":0}');
INSERT INTO farthing_charges SELECT * FROM json_populate_record(NULL::farthing_charges, E'{"channel":"\\\\x4a50149593dcb13b37c059551c841b24552c49dba0b335952b8bee84e4082efb","cumulative_amount":4,"signature":"\\\\x3f35c415114304afcbaa401e78f6b2a909f860713b61cb8f806cbb6f463d49bd3a8bd9117f4c1a47a4d3298b094904a4bfcaad37797fbbaca08fd13cbfa58cc41b","price":2,"item":"/6","authorized_signer":"\\\\x99c851eaa3c3976914d63b822c67e201ec0bfbb8","request":"\\\\x38345cebcc22ae43a4a22b84241cf2ef663374f29a10df4bab8c663221dce3b1","unearned_credit":2,"unix_time":1800058938}');
INSERT INTO farthing_charges SELECT * FROM json_populate_record(NULL::farthing_charges, E'{"channel":"\\\\xb38b159cb185742b37d46b381177888ef73b31cc3d3a63a402cf98c105addfe3","cumulative_amount":26,"signature":"\\\\x24f33b487af0497798535f9e7a1da4445687ad29efd17e7d2ea0300aff77d24850447c38e356922fbefcb9a4bd64c997549c873dafbb38772a356876600d3d0a1b","price":2,"item":"/0","authorized_signer":"\\\\x1a642f0e3c3af545e7acbd38b07251b3990914f1","request":"\\\\x91e6e3833d05b206b1f618d03c8126cb5c43132dfc12b508c67e21254ecf690e","unearned_credit":0,"unix_time":1800060466}');
INSERT INTO farthing_charges SELECT * FROM json_populate_record(NULL::farthing_charges, E'{"channel":"\\\\x163c8b9c1ecd93f0db8676ecffc218560605c0cebabb79a04d028cc3a15bc678","cumulative_amount":9,"signature":"\\\\xd9664845d379b0aa544bc998eb4f7f5e0002ebd2a7745244310e94d9b5647e4167572324898c7576563a365656eceabb761400812ffcb4b3d6c5235f2691fa311c","price":8,"item":"/6","authorized_signer":"\\\\xd09ad14080d4b257a819a4f579b8485be88f086c","request":"\\\\x38345cebcc22ae43a4a22b84241cf2ef663374f29a10df4bab8c663221dce3b1","unearned_credit":7,"unix_time":1800061384}');
INSERT INTO farthing_charges SELECT * FROM json_populate_record(NULL::farthing_charges, E'{"channel":"\\\\x8a9bbedafe55f19b0ccd40d9ca2fa889d1276242293c72f55da22c8898d7be9d","cumulative_amount":7,"signature":"\\\\xde819909ba74ca2b612f2fc08b5dc6e26fcbcff6fb4b3e741f667bdf52a1e4a021b5a79c2193252231ad490861f3235f5c2ed8240199b88f4fa4e8d27ed5a6401c","price":5,"item":"/1","authorized_signer":"\\\\x5050a4f4b3f9338c3472dcc01a87c76a144b3c9c","request":"\\\\x711979839622ff05aef6f20479d4ad3501d5b474b48a2a172c9cc8765638056e","unearned_credit":5,"unix_time":1800064676}');
INSERT INTO farthing_charges SELECT * FROM json_populate_record(NULL::farthing_charges, E'{"channel":"\\\\xbcb3cc8d01ffe1ec68f894cae633a6ad621fc4a07b45811c21a67ec536678bdc","cumulative_amount":27,"signature":"\\\\xf530faa6853562cf0d0ecf3a2a7cb7511c5838efae01187b38a3ff581c7690d03284037b7b4dad88009d128f58e4b3d7d0b1031c071abcacbffa4b65e0c5fd591c","price":0,"item":"/7","authorized_signer":"\\\\x4a62316623ad457f02cdc5d997ded67a383ec569","request":"\\\\x93efe31038f8d160c8a4f5e37dcb049e47ea8ac5eeb472d0d6a8e556a2683f9b","unearned_credit":0,"unix_time":1800066091}');
INSERT INTO farthing_charges SELECT * FROM json_populate_record(NULL::farthing_charges, E'{"channel":"\\\\xf82d414411dd7b5753f62b92bec96005e36b467705bd03cf2a85c282d40e8d92","cumulative_amount":15,"signature":"\\\\x66eb0533692b3950cfd2175b1a51f951960430902e6562fc588151a1fd7e06df364ef70fca5b8472fbf3e9728101cd77242d713961bd5fb446fbb532516a888e1b","price":2,"item":"/4","authorized_signer":"\\\\x1a642f0e3c3af545e7acbd38b07251b3990914f1","request":"\\\\x048dd0bde9a2e82ae42529a5e1ff3569fa6b1a7541117f7c4a0f10917fe15421","unearned_credit":0,"unix_time":1800067471}');
INSERT INTO farthing_charges SELECT * FROM json_populate_record(NULL::farthing_charges, E'{"channel":"\\\\x17834fe56f3f99b13930bf00046154dd93bd9d2a1d7006af7dc65ed33f3dac9d","cumulative_amount":23,"signature":"\\\\x24ee53248a5907668d0a9b34ec4459ce439f3da38b18b1ace6e13197e94835082f2c37d3f6c268deea7f8ea107163d7bd1fa479d444d1f06c8d512630c328a111b","price":6,"item":"/2","authorized_signer":"\\\\xc48b812bb43401392c037381aca934f4069c0517","request":"\\\\x3a42a7c73fc83c0031b4186f20c2542b2266d297cc49c7944e4a6e46ec47f187","unearned_credit":0,"unix_time":1800069309}');
INSERT INTO farthing_charges SELECT * FROM json_populate_record(NULL::farthing_charges, E'{"channel":"\\\\x0e7d42783b2d307b6e44e94f07b1571cb1430807b50d03df23bf98c0cb14bd2d","cumulative_amount":7,"signature":"\\\\xd9a9b7ea03fdf704b1f85a6f24a48cecf0abc3a171f5ee613571c0119940ab0c0f5a79facf38b6427e352462075a36d00082fa1fcfe3bd621f02d56016d34aed1c","price":1,"item":"/3","authorized_signer":"\\\\x0cb030d11a8be48b60418857874deee61d1071e0","request":"\\\\x6e40709fd52a8b35651b295d1c29a3382f86b81f14c93e69ece1405d27884451","unearned_credit":1,"unix_time":1800070581}');
INSERT INTO farthing_charges SELECT * FROM json_populate_record(NULL::farthing_charges, E'{"channel":"\\\\xd5255361328a4f633da049f1653c51f4b29bc07313b264cb4def1b923bb53b02","cumulative_amount":6,"signature":"\\\\x2100afd061fb12e503e0fe76cd38f049069f5e58c20aa4d4c6c0a8247085a3780a8696a8b1e644e0238bd82293e727bef1928bc421610a9d59684890adc78e7d1c","price":6,"item":"/0","authorized_signer":"\\\\x3325a78425f17a7e487eb5666b2bfd93abb06c70","request":"\\\\x91e6e3833d05b206b1f618d03c8126cb5c43132dfc12b508c67e21254ecf690e","unearned_credit":0,"unix_time":1800072400}');
INSERT INTO farthing_charges SELECT * FROM json_populate_record(NULL::farthing_charges, E'{"channel":"\\\\xe9101e20f7e3de2822f1330918f5cf7fed5c1dcd42803e91260bb7ab58f6b417","cumulative_amount":5,"signature":"\\\\xc9a1a364de97e14ca76a3061e7c26b09b5756b544b21ad687ea6ff342ae5a9b47fe014c1e20bbff15935c67e433d0dc72e70c0fcb8cad5fe45e31e044cd2b55b1c","price":5,"item":"/9","authorized_signer":"\\\\xd09ad14080d4b257a819a4f579b8485be88f086c","request":"\\\\x24ff19586a8d0d179b527e51c20fa18aa7c9b709251ff2787e6f4384ef5ec08d","unearned_credit":0,"unix_time":1800074619}');
INSERT INTO farthing_charges SELECT * FROM json_populate_record(NULL::farthing_charges, E'{"channel":"\\\\x4a50149593dcb13b37c059551c841b24552c49dba0b335952b8bee84e4082efb","cumulative_amount":16,"signature":"\\\\x78fcf8a69200ba7caaa0938d7edc140d524b3cd5c9ec7e545a2e568b84bdded44131265b18a3a94906a8057bc5bc04c1de6fb9ee59cae96f488d1a142defab1a1c","price":0,"item":"/6","authorized_signer":"\\\\x99c851eaa3c3976914d63b822c67e201ec0bfbb8","request":"\\\\x38345cebcc22ae43a4a22b84241cf2ef663374f29a10df4bab8c663221dce3b1","unearned_credit":0,"unix_time":1800074891}');
INSERT INTO farthing_charges SELECT * FROM json_populate_record(NULL::farthing_charges, E'{"channel":"\\\\x0e7d42783b2d307b6e44e94f07b1571cb1430807b50d03df23bf98c0cb14bd2d","cumulative_amount":3,"signature":"\\\\x7fd94653a90369d739f9174f6f209eb591ac09b6e1d9cc498cb34e8db6f501607ec5d76f6f257aafb2c0ffa889c296a5f6e40cf8e6161e5bb4b35fc74e9c53fe1b","price":0,"item":"/5","authorized_signer":"\\\\x0cb030d11a8be48b60418857874deee61d1071e0","request":"\\\\xaf856c41e4d321043763e8af056037df8aacac29f09d3dc35a0e6f9ed5ea6330","unearned_credit":0,"unix_time":1800083378}');
INSERT INTO farthing_charges SELECT * FROM json_populate_record(NULL::farthing_charges, E'{"channel":"\\\\xf82d414411dd7b5753f62b92bec96005e36b467705bd03cf2a85c282d40e8d92","cumulative_amount":1,"signature":"\\\\x9839604db349508b28e7c286cdae0d56eb3d124ae12616bf61d3511ffa71afd3147df0f5feb0cf7027db615dd53595936498fbc835def3379863c5c55e0c29b81b","price":5,"item":"/11","authorized_signer":"\\\\x1a642f0e3c3af545e7acbd38b07251b3990914f1","request":"\\\\x0b25967f8280a2c57f22fabba9f3d1b542595a7d935c62a1ad606e71dedd13eb","unearned_credit":0,"unix_time":1800085412}');
INSERT INTO farthing_charges SELECT * FROM json_populate_record(NULL::farthing_charges, E'{"channel":"\\\\x163c8b9c1ecd93f0db8676ecffc218560605c0cebabb79a04d028cc3a15bc678","cumulative_amount":22,"signature":"\\\\x87b6d76a77e2a7c6f89afa11c7ab92ff6ac152f400a9f35654d00f5bc8d82b3f3014b565c8a48117ea2251d7c00f1b81c629ede2ee685c3fbdee2db4aa119c821b","price":1,"item":"/5","authorized_signer":"\\\\xd09ad14080d4b257a819a4f579b8485be88f086c","request":"\\\\xaf856c41e4d321043763e8af056037df8aacac29f09d3dc35a0e6f9ed5ea6330","unearned_credit":0,"unix_time":1800085637}');
INSERT INTO farthing_charges SELECT * FROM json_populate_record(NULL::farthing_charges, E'{"channel":"\\\\xe9101e20f7e3de2822f1330918f5cf7fed5c1dcd42803e91260bb7ab58f6b417","cumulative_amount":21,"signature":"\\\\x01a1433ff74d6b4533d92012bf170f33e21ebf8d756b70e7a5fa08b4ddd4e7dd560f6abe0a985210087b53a9e2d6a608b7a1697656dd2d8d2745c955f7e97e3d1b","price":5,"item":"/6","authorized_signer":"\\\\xd09ad14080d4b257a819a4f579b8485be88f086c","request":"\\\\x38345cebcc22ae43a4a22b84241cf2ef663374f29a10df4bab8c663221dce3b1","unearned_credit":0,"unix_time":1800086679}');
INSERT INTO farthing_charges SELECT * FROM json_populate_record(NULL::farthing_charges, E'{"channel":"\\\\x4604ce941ce610f9b85c887d811c609bd59c7f998d3f36d888a43d15c51601f3","cumulative_amount":14,"signature":"\\\\x095a5a45c727f39cd7dcacdf5887a33b9e52c611df79211d1619086d6fd364da1f117321fd8bdf20d462c5d010209be984597ba9ee837ff6931288489c9c8abb1c","price":5,"item":"/0","authorized_signer":"\\\\x4a62316623ad457f02cdc5d997ded67a383ec569","request":"\\\\x91e6e3833d05b206b1f618d03c8126cb5c43132dfc12b508c67e21254ecf690e","unearned_credit":5,"unix_time":1800087710}');
INSERT INTO farthing_charges SELECT * FROM json_populate_record(NULL::farthing_charges, E'{"channel":"\\\\xce265fd7d2f7ee4af131b71b1805dd76dc757d74d834fbeca58f81ec4cdad733","cumulative_amount":8,"signature":"\\\\x2004f0e0e9aa7b6bc5ba80dbe1490210996cfd9f232dff78f61450f9571293cf5020e8335c901bc590e28848bb35cbb91fd7381eb2b6e754f8531e4cc500b8fe1c","price":0,"item":"/11","authorized_signer":"\\\\x5050a4f4b3f9338c3472dcc01a87c76a144b3c9c","request":"\\\\x0b25967f8280a2c57f22fabba9f3d1b542595a7d935c62a1ad606e71dedd13eb","unearned_credit":0,"unix_time":1800089419}');
INSERT INTO farthing_charges SELECT * FROM json_populate_record(NULL::farthing_charges, E'{"channel":"\\\\x4604ce941ce610f9b85c887d811c609bd59c7f998d3f36d888a43d15c51601f3","cumulative_amount":5,"signature":"\\\\x357319fb58b4b73559026216954a23a238519622079b6f1960d24d6d4117c34b1fabee55cbe4a6fecacf32f7c709a63b966be2d13addeacb0b5642d6777fd09a1b","price":8,"item":"/4","authorized_signer":"\\\\x4a62316623ad457f02cdc5d997ded67a383ec569","request":"\\\\x048dd0bde9a2e82ae42529a5e1ff3569fa6b1a7541117f7c4a0f10917fe15421","unearned_credit":0,"unix_time":1800093346}');
INSERT INTO farthing_charges SELECT * FROM json_populate_record(NULL::farthing_charges, E'{"channel":"\\\\xce265fd7d2f7ee4af131b71b1805dd76dc757d74d834fbeca58f81ec4cdad733","cumulative_amount":4,"signature":"\\\\x50d1e06c1072ea4d168054163a1a511843c14cfae83f297f809b6aebac8a0e284203e5d74d4ebabd34b3d1568cc3c186d566edeefe3a30a25a666507e60e64d51c","price":0,"item":"/0","authorized_signer":"\\\\x5050a4f4b3f9338c3472dcc01a87c76a144b3c9c","request":"\\\\x91e6e3833d05b206b1f618d03c8126cb5c43132dfc12b508c67e21254ecf690e","unearned_credit":0,"unix_time":1800094242}');
INSERT INTO farthing_charges SELECT * FROM json_populate_record(NULL::farthing_charges, E'{"channel":"\\\\xf82d414411dd7b5753f62b92bec96005e36b467705bd03cf2a85c282d40e8d92","cumulative_amount":27,"signature":"\\\\xcdea8f386ead0da90323f3b2bbf7b6a19f96fdad9121ce2ef123c08fced09b80481d80b6271ac31ddb33f8d09591a508600160b9208bd3c6f9291a48a541c3b81c","price":7,"item":"/5","authorized_signer":"\\\\x1a642f0e3c3af545e7acbd38b07251b3990914f1","request":"\\\\xaf856c41e4d321043763e8af056037df8aacac29f09d3dc35a0e6f9ed5ea6330","unearned_credit":0,"unix_time":1800099901}');
INSERT INTO farthing_charges SELECT * FROM json_populate_record(NULL::farthing_charges, E'{"channel":"\\\\x8a9bbedafe55f19b0ccd40d9ca2fa889d1276242293c72f55da22c8898d7be9d","cumulative_amount":19,"signature":"\\\\x861c559128f0f1f99f415d3503811cc8497f87aa758fa52ecedeb6e625eb3ade43af3c052377863b9e3002977920832e9d200a311d64253bfa603a882481863d1c","price":5,"item":"/8","authorized_signer":"\\\\x5050a4f4b3f9338c3472dcc01a87c76a144b3c9c","request":"\\\\xdbecc4316e67201e4bb0e2a5818b2c6cde5beb590a7e67e81ccf1574e2e2043d","unearned_credit":0,"unix_time":1800101776}');
INSERT INTO farthing_charges SELECT * FROM json_populate_record(NULL::farthing_charges, E'{"channel":"\\\\xf82d414411dd7b5753f62b92bec96005e36b467705bd03cf2a85c282d40e8d92","cumulative_amount":24,"signature":"\\\\x74a066149038d6972a53ce3f365b8ecea0d47aa01f01c2b48951362fd3fe9ba14377e35f8c079be7a7b53be28a2ddc6dbe54c3cf536e2ebddc7715cdb4f449741c","price":3,"item":"/6","authorized_signer":"\\\\x1a642f0e3c3af545e7acbd38b07251b3990914f1","request":"\\\\x38345cebcc22ae43a4a22b84241cf2ef663374f29a10df4bab8c663221dce3b1","unearned_credit":0,"unix_time":1800107177}');
INSERT INTO farthing_charges SELECT * FROM json_populate_record(NULL::farthing_charges, E'{"channel":"\\\\x187cd3b295772a0af958f97969cfbde9d180f1eb3051b0fc517075d1b5d09c90","cumulative_amount":29,"signature":"\\\\x523aa998ed07c1820fd1b58d248b6b049dd12281908fe71c5a0de1ed49841c957c541f96f6f7ad806453cadc73fa4aa15c320d781c59e066874ec0e8aa9ac15c1c","price":0,"item":"/2","authorized_signer":"\\\\x0cb030d11a8be48b60418857874deee61d1071e0","request":"\\\\x3a42a7c73fc83c0031b4186f20c2542b2266d297cc49c7944e4a6e46ec47f187","unearned_credit":0,"unix_time":1800108352}');
INSERT INTO farthing_charges SELECT * FROM json_populate_record(NULL::farthing_charges, E'{"channel":"\\\\xce265fd7d2f7ee4af131b71b1805dd76dc757d74d834fbeca58f81ec4cdad733","cumulative_amount":18,"signature":"\\\\xffe6f7ecd286ef1135f6241bffd72c4d7d8c6d27c1f3b037e28badb24b52a8a731ac0376d3bb6f6fda3d11fe2fe4c7399bd2ff8e0c14f703d0373b42837e36391c","price":0,"item":"/10","authorized_signer":"\\\\x5050a4f4b3f9338c3472dcc01a87c76a144b3c9c","request":"\\\\x1fb187e19fa0204fe5f30786534c44708154d890d78dd4ea24e264b569332f70","unearned_credit":0,"unix_time":1800109543}');
INSERT INTO farthing_charges SELECT * FROM json_populate_record(NULL::farthing_charges, E'{"channel":"\\\\x163c8b9c1ecd93f0db8676ecffc218560605c0cebabb79a04d028cc3a15bc678","cumulative_amount":17,"signature":"\\\\x8bd975733f0880405f412bf06c72371d7d35606556c2554845fb9cd8d76775291d606c11b78e5cf5aa774fa3de5624f35b3f377f958f3412eea3c444e71a8e931b","price":1,"item":"/9","authorized_signer":"\\\\xd09ad14080d4b257a819a4f579b8485be88f086c","request":"\\\\x24ff19586a8d0d179b527e51c20fa18aa7c9b709251ff2787e6f4384ef5ec08d","unearned_credit":0,"unix_time":1800110742}');
INSERT INTO farthing_charges SELECT * FROM json_populate_record(NULL::farthing_charges, E'{"channel":"\\\\x17834fe56f3f99b13930bf00046154dd93bd9d2a1d7006af7dc65ed33f3dac9d","cumulative_amount":1,"signature":"\\\\x118f402ca543fb8f0ac3eec09a871922b4358d71c603950d813eb92af75f387b26ebf1dd9b15751e7bf82f16ae6070237124722b213748951a05fd9670b344d01b","price":8,"item":"/9","authorized_signer":"\\\\xc48b812bb43401392c037381aca934f4069c0517","request":"\\\\x24ff19586a8d0d179b527e51c20fa18aa7c9b709251ff2787e6f4384ef5ec08d","unearned_credit":0,"unix_time":1800116590}');
INSERT INTO farthing_charges SELECT * FROM json_populate_record(NULL::farthing_charges, E'{"channel":"\\\\xf82d414411dd7b5753f62b92bec96005e36b467705bd03cf2a85c282d40e8d92","cumulative_amount":3,"signature":"\\\\x29209d1d2bd05c52bc7d42dba2d3677ce7733b5c34a91507360fdb7f743d2bd2566df13c991c4ac0f03319af33305b480b60ba07f374fb1a4e0c43d5f9b5f0b41b","price":2,"item":"/6","authorized_signer":"\\\\x1a642f0e3c3af545e7acbd38b07251b3990914f1","request":"\\\\x38345cebcc22ae43a4a22b84241cf2ef663374f29a10df4bab8c663221dce3b1","unearned_credit":0,"unix_time":1800119300}');
INSERT INTO farthing_charges SELECT * FROM json_populate_record(NULL::farthing_charges, E'{"channel":"\\\\x17834fe56f3f99b13930bf00046154dd93bd9d2a1d7006af7dc65ed33f3dac9d","cumulative_amount":14,"signature":"\\\\xbe12f5045c4aac45c2d02a6af7914f88c897749e6eb01b6d8d8d72f0d95120c85f367d7ff1c9b1e2359ddfa9954683abe7f8e5a2ab15994b5d791c807fc961d61c","price":5,"item":"/11","authorized_signer":"\\\\xc48b812bb43401392c037381aca934f4069c0517","request":"\\\\x0b25967f8280a2c57f22fabba9f3d1b542595a7d935c62a1ad606e71dedd13eb","unearned_credit":0,"unix_time":1800121506}');
INSERT INTO farthing_credits SELECT * FROM json_populate_record(NULL::farthing_credits, E'{"channel":"\\\\x163c8b9c1ecd93f0db8676ecffc218560605c0cebabb79a04d028cc3a15bc678","cumulative_amount":9,"amount":6,"unix_time":1800066011}');
INSERT INTO farthing_credits SELECT * FROM json_populate_record(NULL::farthing_credits, E'{"channel":"\\\\xb38b159cb185742b37d46b381177888ef73b31cc3d3a63a402cf98c105addfe3","cumulative_amount":26,"amount":1,"unix_time":1800085122}');
INSERT INTO farthing_credits SELECT * FROM json_populate_record(NULL::farthing_credits, E'{"channel":"\\\\x163c8b9c1ecd93f0db8676ecffc218560605c0cebabb79a04d028cc3a15bc678","cumulative_amount":22,"amount":1,"unix_time":1800098663}');
INSERT INTO farthing_final_redemptions SELECT * FROM json_populate_record(NULL::farthing_final_redemptions, E'{"channel":"\\\\xb38b159cb185742b37d46b381177888ef73b31cc3d3a63a402cf98c105addfe3","redeemed":26,"paid":26,"block":150005133,"unix_time":1800061598}');
INSERT INTO farthing_final_redemptions SELECT * FROM json_populate_record(NULL::farthing_final_redemptions, E'{"channel":"\\\\x163c8b9c1ecd93f0db8676ecffc218560605c0cebabb79a04d028cc3a15bc678","redeemed":9,"paid":9,"block":150006157,"unix_time":1800073884}');
INSERT INTO farthing_final_redemptions SELECT * FROM json_populate_record(NULL::farthing_final_redemptions, E'{"channel":"\\\\x17834fe56f3f99b13930bf00046154dd93bd9d2a1d7006af7dc65ed33f3dac9d","redeemed":16,"paid":16,"block":150009387,"unix_time":1800112654}');
INSERT INTO farthing_redemptions SELECT * FROM json_populate_record(NULL::farthing_redemptions, E'{"hash":"\\\\x0202020202020202020202020202020202020202020202020202020202020202","sender":"\\\\xa2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2","nonce":2,"max_fee_per_gas":7000000000,"max_priority_fee_per_gas":1,"closes":false,"unix_time":1800100000,"state":"mined","block":9,"gas_used":100000,"gas_price":55340232221128654845}');
INSERT INTO farthing_redemptions SELECT * FROM json_populate_record(NULL::farthing_redemptions, E'{"hash":"\\\\xa1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1","sender":"\\\\xa2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2","nonce":0,"max_fee_per_gas":7000000000,"max_priority_fee_per_gas":1,"closes":false,"unix_time":1800100000,"state":"failed","block":null,"gas_used":null,"gas_price":null}');
INSERT INTO farthing_redemptions SELECT * FROM json_populate_record(NULL::farthing_redemptions, E'{"hash":"\\\\xb1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1","sender":"\\\\xa2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2","nonce":0,"max_fee_per_gas":7000000000,"max_priority_fee_per_gas":1,"closes":false,"unix_time":1800100000,"state":"mined","block":9,"gas_used":100000,"gas_price":55340232221128654845}');
INSERT INTO farthing_redemptions SELECT * FROM json_populate_record(NULL::farthing_redemptions, E'{"hash":"\\\\xc1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1","sender":"\\\\xa2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2","nonce":1,"max_fee_per_gas":7000000000,"max_priority_fee_per_gas":1,"closes":false,"unix_time":1800100000,"state":"sent","block":null,"gas_used":null,"gas_price":null}');
INSERT INTO farthing_redemption_vouchers SELECT * FROM json_populate_record(NULL::farthing_redemption_vouchers, E'{"hash":"\\\\xa1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1","place":0,"channel":"\\\\x0e7d42783b2d307b6e44e94f07b1571cb1430807b50d03df23bf98c0cb14bd2d","cumulative_amount":3}');
INSERT INTO farthing_redemption_vouchers SELECT * FROM json_populate_record(NULL::farthing_redemption_vouchers, E'{"hash":"\\\\xa1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1","place":1,"channel":"\\\\x0e7d42783b2d307b6e44e94f07b1571cb1430807b50d03df23bf98c0cb14bd2d","cumulative_amount":7}');
INSERT INTO farthing_redemption_vouchers SELECT * FROM json_populate_record(NULL::farthing_redemption_vouchers, E'{"hash":"\\\\xa1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1","place":2,"channel":"\\\\x163c8b9c1ecd93f0db8676ecffc218560605c0cebabb79a04d028cc3a15bc678","cumulative_amount":9}');
INSERT INTO farthing_redemption_vouchers SELECT * FROM json_populate_record(NULL::farthing_redemption_vouchers, E'{"hash":"\\\\xb1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1","place":0,"channel":"\\\\x0e7d42783b2d307b6e44e94f07b1571cb1430807b50d03df23bf98c0cb14bd2d","cumulative_amount":3}');
INSERT INTO farthing_redemption_vouchers SELECT * FROM json_populate_record(NULL::farthing_redemption_vouchers, E'{"hash":"\\\\xb1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1","place":1,"channel":"\\\\x0e7d42783b2d307b6e44e94f07b1571cb1430807b50d03df23bf98c0cb14bd2d","cumulative_amount":7}');
INSERT INTO farthing_redemption_vouchers SELECT * FROM json_populate_record(NULL::farthing_redemption_vouchers, E'{"hash":"\\\\xb1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1","place":2,"channel":"\\\\x163c8b9c1ecd93f0db8676ecffc218560605c0cebabb79a04d028cc3a15bc678","cumulative_amount":9}');
INSERT INTO farthing_redemption_vouchers SELECT * FROM json_populate_record(NULL::farthing_redemption_vouchers, E'{"hash":"\\\\xc1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1","place":0,"channel":"\\\\x0e7d42783b2d307b6e44e94f07b1571cb1430807b50d03df23bf98c0cb14bd2d","cumulative_amount":3}');
INSERT INTO farthing_redemption_vouchers SELECT * FROM json_populate_record(NULL::farthing_redemption_vouchers, E'{"hash":"\\\\xc1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1","place":1,"channel":"\\\\x0e7d42783b2d307b6e44e94f07b1571cb1430807b50d03df23bf98c0cb14bd2d","cumulative_amount":7}');
INSERT INTO farthing_redemption_vouchers SELECT * FROM json_populate_record(NULL::farthing_redemption_vouchers, E'{"hash":"\\\\xc1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1","place":2,"channel":"\\\\x163c8b9c1ecd93f0db8676ecffc218560605c0cebabb79a04d028cc3a15bc678","cumulative_amount":9}');
INSERT INTO farthing_relayed SELECT * FROM json_populate_record(NULL::farthing_relayed, E'{"hash":"\\\\x0202020202020202020202020202020202020202020202020202020202020202","request":"\\\\x0101010101010101010101010101010101010101010101010101010101010101","unix_time":1800100000,"cost":21000000000000}');
INSERT INTO farthing_relayed_last SELECT * FROM json_populate_record(NULL::farthing_relayed_last, E'{"request":"\\\\x0101010101010101010101010101010101010101010101010101010101010101","hash":"\\\\x0202020202020202020202020202020202020202020202020202020202020202"}');
INSERT INTO farthing_strangers SELECT * FROM json_populate_record(NULL::farthing_strangers, '{"day":20834,"amount":20}');
INSERT INTO farthing_relay_spent SELECT * FROM json_populate_record(NULL::farthing_relay_spent, '{"day":20834,"amount":21000000000000}');
