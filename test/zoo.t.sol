// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AccountState, Authorization, Channel, ChannelState, IEscrow, Permit} from "../contracts/IEscrow.sol";
import {IRevenueSplit} from "../contracts/IRevenueSplit.sol";
import {Purse} from "./Base.t.sol";
import {SplitBase} from "./SplitBase.t.sol";
import {Reentrant} from "./receivers/Reentrant.sol";
import {BlocklistDollar} from "./tokens/BlocklistDollar.sol";
import {FallbackDollar} from "./tokens/FallbackDollar.sol";
import {FalseDollar} from "./tokens/FalseDollar.sol";
import {HookDollar} from "./tokens/HookDollar.sol";
import {HostileDollar} from "./tokens/HostileDollar.sol";
import {RebasingDollar} from "./tokens/RebasingDollar.sol";
import {SilentDollar} from "./tokens/SilentDollar.sol";

/// @dev Every odd token against every function that changes anything. A token is honest while it is brought in, then turns
/// odd, and then one call is made. What must come of it is one sign per function, in the order of `VERBS`:
///
///     +  works: the ledger and everybody's holdings change by what the call says
///     -  reverts, and nothing has changed
///     >  the refund stays in the payer's own account; the rest works
///     !  the ledger changes by what the call says, and the token moved something else: its holders' own loss
///     =  the refund moved, and the token said that it didn't, so that it is in the account as well: the same
///
/// After every call the money of everyone in other tokens is where it was and comes out to the last unit, and so does that of
/// the odd token once it is honest again.
contract ZooTest is SplitBase {
    /// @dev deposit, open, depositWithPermit, openWithPermit, depositWithAuthorization, openWithAuthorization | reserve,
    /// requestClose, setOperator | redeem, redeemTo, redeemBatch, close with a voucher, withdraw, withdrawFor | close without
    /// one, finalizeClose | release, releaseTo.
    string private constant VERBS = "DOPQAB RCS rtbcwf 0z lL";

    string private constant ALL_WORK = "++++++ +++ ++++++ ++ ++";
    string private constant NOTHING_MOVES = "------ +++ ------ >> --";

    /// @dev For tokens that are never anything but well enough: a call that changes nothing.
    bytes private constant CALM = abi.encodeWithSignature("balanceOf(address)", address(0));

    uint256 private constant GAS = 30_000_000;

    struct Row {
        address token;
        /// What turns it odd, and honest again if anything does.
        bytes oddly;
        bytes calmly;
        string cells;
    }

    /// @dev The ledger first, then who holds what.
    uint256 private constant LEDGER = 9;
    uint256 private constant BOOKS = 15;

    enum Book {
        Balance,
        Nonce,
        Redeemed,
        Reserved,
        CloseAt,
        RipeReserved,
        RipeCloseAt,
        Operator,
        Released,
        EscrowHas,
        SplitHas,
        PayerHas,
        PayeeHas,
        BankHas,
        PlayerHas
    }

    address private token;
    address private bank;
    Channel private mine;
    Channel private ripe;
    /// @dev A neighbour in the same token, and one each in an honest dollar and in the native coin.
    Channel[3] private neighbours;

    function setUp() public override {
        super.setUp();
        bank = makeAddr("bank");
    }

    /* THE TABLE */

    function test_WhenHonest() external {
        check(hostile(HostileDollar.Conduct.Honest, ALL_WORK));
    }

    function test_WhenReturnsNothing() external {
        check(Row(address(new SilentDollar()), "", CALM, "++++-- +++ ++++++ ++ ++"));
    }

    /// Loss 26: it swallows permits and authorizations without a word.
    function test_WhenSwallowsUnknownCalls() external {
        check(Row(address(new FallbackDollar()), "", CALM, "++++-- +++ ++++++ ++ ++"));
    }

    function test_WhenChargesReceiver() external {
        HookDollar odd = new HookDollar();
        check(Row(address(odd), abi.encodeCall(odd.setFee, (5)), "", "------ +++ !!!!!! !! !!"));
    }

    function test_WhenChargesSender() external {
        check(hostile(HostileDollar.Conduct.ChargesSender, "!!!!!! +++ !!!!!! !! !!"));
    }

    function test_WhenReturnsFalse() external {
        FalseDollar odd = new FalseDollar();
        bytes memory calmly = abi.encodeCall(odd.setRefusing, (false));
        check(Row(address(odd), abi.encodeCall(odd.setRefusing, (true)), calmly, NOTHING_MOVES));
    }

    function test_WhenMovesNothing() external {
        check(hostile(HostileDollar.Conduct.MovesNothing, "------ +++ !!!!!! !! !!"));
    }

    function test_WhenReturnsGarbage() external {
        // Authorizations return nothing, so there is nothing to misread.
        check(hostile(HostileDollar.Conduct.ReturnsGarbage, "----++ +++ ------ == --"));
    }

    function test_WhenReturnsShort() external {
        check(hostile(HostileDollar.Conduct.ReturnsShort, "----++ +++ ------ == --"));
    }

    function test_WhenReturnsBomb() external {
        check(hostile(HostileDollar.Conduct.ReturnsBomb, ALL_WORK));
    }

    function test_WhenPaused() external {
        check(hostile(HostileDollar.Conduct.Reverts, NOTHING_MOVES));
    }

    function test_WhenRevertsWithBomb() external {
        check(hostile(HostileDollar.Conduct.RevertsWithBomb, NOTHING_MOVES));
    }

    function test_WhenBurnsGas() external {
        check(hostile(HostileDollar.Conduct.BurnsGas, NOTHING_MOVES));
    }

    function test_WhenBurnsGasOfPermits() external {
        check(hostile(HostileDollar.Conduct.BurnsGasOfPermits, "++--++ +++ ++++++ ++ ++"));
    }

    function test_WhenHidesBalances() external {
        check(hostile(HostileDollar.Conduct.HidesBalances, "------ +++ ++++++ ++ --"));
    }

    function test_WhenBlocksPayer() external {
        check(blocking(payer, "------ +++ +++>++ >> ++"));
    }

    function test_WhenBlocksPayee() external {
        check(blocking(payee, "++++++ +++ -+--++ ++ ++"));
    }

    function test_WhenBlocksMember() external {
        check(blocking(players[0], "++++++ +++ ++++++ ++ -+"));
    }

    function test_WhenBlocksEscrow() external {
        check(blocking(address(escrow), "------ +++ ------ >> ++"));
    }

    function test_WhenCallsSender() external {
        check(hooking(payer));
    }

    function test_WhenCallsReceiver() external {
        check(hooking(payee));
    }

    function test_WhenShrinks() external {
        check(rebasing(50, ALL_WORK));
    }

    function test_WhenGrows() external {
        check(rebasing(200, ALL_WORK));
    }

    function test_WhenVanishes() external {
        check(rebasing(0, NOTHING_MOVES));
    }

    function test_WhenLosesItsCode() external {
        HostileDollar odd = new HostileDollar();
        bytes memory code = address(odd).code;
        bytes memory oddly = abi.encodeCall(vm.etch, (address(odd), ""));
        check(Row(address(odd), oddly, abi.encodeCall(vm.etch, (address(odd), code)), NOTHING_MOVES));
    }

    /* ROWS */

    function hostile(HostileDollar.Conduct conduct, string memory cells) private returns (Row memory) {
        HostileDollar odd = new HostileDollar();
        bytes memory calmly = abi.encodeCall(odd.setConduct, (HostileDollar.Conduct.Honest));
        return Row(address(odd), abi.encodeCall(odd.setConduct, (conduct)), calmly, cells);
    }

    function blocking(address who, string memory cells) private returns (Row memory) {
        BlocklistDollar odd = new BlocklistDollar();
        bytes memory oddly = abi.encodeCall(odd.setBlocked, (who, true));
        return Row(address(odd), oddly, abi.encodeCall(odd.setBlocked, (who, false)), cells);
    }

    function rebasing(uint256 percent, string memory cells) private returns (Row memory) {
        RebasingDollar odd = new RebasingDollar();
        bytes memory calmly = abi.encodeCall(odd.setPercent, (100));
        // What is moved while it is odd is worth more or less afterwards, so that only what never moved comes out again.
        if (percent > 0) calmly = "";
        return Row(address(odd), abi.encodeCall(odd.setPercent, (percent)), calmly, cells);
    }

    /// @dev The one with code has the token's call, and uses it for something that succeeds.
    function hooking(address who) private returns (Row memory) {
        HookDollar odd = new HookDollar();
        vm.etch(who, address(new Reentrant()).code);
        bytes memory call = abi.encodeCall(IEscrow.setOperator, (outsider, true));
        bytes memory oddly = abi.encodeCall(Reentrant.arm, (address(escrow), 0, call, 0));
        return Row(address(odd), abi.encodeCall(this.armFor, (who, oddly)), CALM, ALL_WORK);
    }

    function armFor(address who, bytes calldata data) external {
        (bool done,) = who.call(data);
        assertTrue(done);
    }

    /* EACH CELL */

    function check(Row memory row_) private {
        bytes memory verbs = bytes(VERBS);
        bytes memory cells = bytes(row_.cells);
        assertEq(cells.length, verbs.length);
        arrange(row_.token);
        turn(row_.oddly);
        for (uint256 i; i < verbs.length; ++i) {
            assertEq(verbs[i] == " ", cells[i] == " ");
            if (verbs[i] == " ") continue;
            uint256 snapshot = vm.snapshotState();
            checkCell(verbs[i], cells[i]);
            assertNeighboursUntouched();
            for (uint256 j = 1; j < 3; ++j) {
                exit(neighbours[j].token);
            }
            if (row_.calmly.length > 0) {
                turn(row_.calmly);
                // What the token itself took or gave away is missing; who comes first has his.
                if (cells[i] != "!" && cells[i] != "=") exit(token);
            }
            vm.revertToState(snapshot);
        }
    }

    function checkCell(bytes1 verb, bytes1 cell) private {
        string memory which = string(abi.encodePacked(verb, " ", cell));
        uint256[] memory expected = read();
        bool moves = cell == "+" || cell == "=" || cell == "!";
        if (cell != "-") expect(expected, verb, moves, cell == ">" || cell == "=");
        (address caller, bytes memory data) = callOf(verb);
        address target = verb == "l" || verb == "L" ? address(band) : address(escrow);
        vm.prank(caller);
        (bool done,) = target.call{gas: GAS}(data);
        assertEq(done, cell != "-", which);
        uint256[] memory actual = read();
        for (uint256 i; i < LEDGER; ++i) {
            assertEq(actual[i], expected[i], string.concat(which, " ledger ", vm.toString(i)));
        }
        bool same = true;
        for (uint256 i = LEDGER; i < BOOKS; ++i) {
            same = same && actual[i] == expected[i];
        }
        assertEq(same, cell != "!", string.concat(which, " holdings"));
    }

    /// @dev What the call says must change, in the ledger and, if the token moves anything, among the holders.
    function expect(uint256[] memory books, bytes1 verb, bool moves, bool fallsBack) private view {
        if (verb == "D" || verb == "P" || verb == "A") add(books, Book.Balance, 40);
        if (verb == "O" || verb == "Q" || verb == "B") add(books, Book.Reserved, 40);
        if (isFunding(verb)) send(books, Book.PayerHas, Book.EscrowHas, 40);
        if (verb == "R") send(books, Book.Balance, Book.Reserved, 40);
        if (verb == "C") add(books, Book.CloseAt, vm.getBlockTimestamp() + EXIT_DELAY);
        if (verb == "S") add(books, Book.Operator, 1);
        if (verb == "r" || verb == "t" || verb == "b" || verb == "c") {
            send(books, Book.Reserved, Book.Redeemed, 30);
            send(books, Book.EscrowHas, verb == "t" ? Book.BankHas : Book.PayeeHas, 30);
        }
        if (verb == "w" || verb == "f") {
            take(books, Book.Balance, 40);
            send(books, Book.EscrowHas, Book.BankHas, 40);
        }
        if (verb == "f") add(books, Book.Nonce, 1);
        if (verb == "c" || verb == "0") expectRefund(books, Book.Reserved, moves, fallsBack);
        if (verb == "z") {
            expectRefund(books, Book.RipeReserved, moves, fallsBack);
            books[uint256(Book.RipeCloseAt)] = 0;
        }
        if (verb == "l" || verb == "L") {
            uint256 due = band.releasable(token, players[0]);
            add(books, Book.Released, due);
            send(books, Book.SplitHas, verb == "l" ? Book.PlayerHas : Book.BankHas, due);
        }
    }

    function isFunding(bytes1 verb) private pure returns (bool) {
        return verb == "D" || verb == "O" || verb == "P" || verb == "Q" || verb == "A" || verb == "B";
    }

    function expectRefund(uint256[] memory books, Book from, bool moves, bool fallsBack) private pure {
        uint256 refund = books[uint256(from)];
        take(books, from, refund);
        if (moves) send(books, Book.EscrowHas, Book.PayerHas, refund);
        if (fallsBack) add(books, Book.Balance, refund);
    }

    function callOf(bytes1 verb) private returns (address caller, bytes memory data) {
        Purse memory purse = purseOf(mine);
        if (verb == "D") return (payer, abi.encodeCall(IEscrow.deposit, (purse, 40)));
        if (verb == "O") return (payer, abi.encodeCall(IEscrow.open, (mine, 40)));
        if (verb == "P") return (payer, abi.encodeCall(IEscrow.depositWithPermit, (purse, 40, permitted())));
        if (verb == "Q") return (payer, abi.encodeCall(IEscrow.openWithPermit, (mine, 40, permitted())));
        if (verb == "A") {
            return (outsider, abi.encodeCall(IEscrow.depositWithAuthorization, (purse, 40, authorized(idOf(purse)))));
        }
        if (verb == "B") {
            return (outsider, abi.encodeCall(IEscrow.openWithAuthorization, (mine, 40, authorized(idOf(mine)))));
        }
        if (verb == "R") return (payer, abi.encodeCall(IEscrow.reserve, (mine, 40)));
        if (verb == "C") return (payer, abi.encodeCall(IEscrow.requestClose, (mine)));
        if (verb == "S") return (payee, abi.encodeCall(IEscrow.setOperator, (operator, true)));
        if (verb == "r") return (outsider, abi.encodeCall(IEscrow.redeem, (mine, 30, sign(mine, 30))));
        if (verb == "t") return (payee, abi.encodeCall(IEscrow.redeemTo, (mine, 30, sign(mine, 30), bank)));
        if (verb == "b") return (outsider, abi.encodeCall(IEscrow.redeemBatch, (payee, token, row(mine, 30))));
        if (verb == "c") return (payee, abi.encodeCall(IEscrow.close, (mine, 30, sign(mine, 30))));
        if (verb == "w") return (payer, abi.encodeCall(IEscrow.withdraw, (purse, 40, bank)));
        if (verb == "f") {
            bytes memory signature = signWithdrawal(purse, 40, bank, 0, type(uint256).max);
            return (outsider, abi.encodeCall(IEscrow.withdrawFor, (purse, 40, bank, type(uint256).max, signature)));
        }
        if (verb == "0") return (payee, abi.encodeCall(IEscrow.close, (mine, 0, "")));
        if (verb == "z") return (outsider, abi.encodeCall(IEscrow.finalizeClose, (ripe)));
        if (verb == "l") return (outsider, abi.encodeCall(IRevenueSplit.release, (token, players[0])));
        return (players[0], abi.encodeCall(IRevenueSplit.releaseTo, (token, bank)));
    }

    /// @dev Of a token that knows permits, nothing is allowed without one.
    function permitted() private returns (Permit memory permit) {
        if (!knows("nonces(address)")) return permit;
        vm.prank(payer);
        (bool done,) = token.call(abi.encodeWithSignature("approve(address,uint256)", escrow, 0));
        assertTrue(done);
        return signPermit(payer, token, 40, type(uint256).max);
    }

    function authorized(bytes32 id) private returns (Authorization memory authorization) {
        if (!knows("nonces(address)")) return authorization;
        return signAuthorization(Transfer(payer, token, 40, id), 0, type(uint256).max, "zoo");
    }

    function knows(string memory signature) private returns (bool) {
        (bool done, bytes memory answer) = token.call(abi.encodeWithSignature(signature, payer));
        return done && answer.length > 0;
    }

    /* THE WORLD */

    function arrange(address token_) private {
        token = token_;
        mine = Channel(payer, payee, token, "mine", payer);
        ripe = Channel(payer, payee, token, "ripe", payer);
        address[3] memory tokens = [token, address(dollar), ETH];
        fund(mine, 1000, 500);
        fund(ripe, 0, 300);
        for (uint256 i; i < 3; ++i) {
            neighbours[i] = Channel(outsider, payee, tokens[i], "neighbour", outsider);
            fund(neighbours[i], 700, 600);
            endow(address(band), tokens[i], 100);
        }
        endow(payer, token, 2000);
        requestClose(ripe);
        vm.warp(vm.getBlockTimestamp() + EXIT_DELAY);
    }

    function turn(bytes memory how) private {
        if (how.length == 0) return;
        bool forMachine = bytes4(how) == vm.etch.selector;
        bool forTest = bytes4(how) == this.armFor.selector;
        (bool done,) = (forMachine ? address(vm) : forTest ? address(this) : token).call(how);
        assertTrue(done, "turn");
    }

    function read() private view returns (uint256[] memory books) {
        books = new uint256[](BOOKS);
        AccountState memory account = escrow.accountState(idOf(purseOf(mine)));
        ChannelState memory channel = escrow.channelState(idOf(mine));
        ChannelState memory ripe_ = escrow.channelState(idOf(ripe));
        books[uint256(Book.Balance)] = account.balance;
        books[uint256(Book.Nonce)] = account.nonce;
        books[uint256(Book.Redeemed)] = channel.redeemed;
        books[uint256(Book.Reserved)] = channel.reserved;
        books[uint256(Book.CloseAt)] = channel.closeAt;
        books[uint256(Book.RipeReserved)] = ripe_.reserved;
        books[uint256(Book.RipeCloseAt)] = ripe_.closeAt;
        books[uint256(Book.Operator)] = escrow.isOperator(payee, operator) ? 1 : 0;
        books[uint256(Book.Released)] = band.released(token, players[0]) + band.totalReleased(token);
        books[uint256(Book.EscrowHas)] = owned(address(escrow));
        books[uint256(Book.SplitHas)] = owned(address(band));
        books[uint256(Book.PayerHas)] = owned(payer);
        books[uint256(Book.PayeeHas)] = owned(payee);
        books[uint256(Book.BankHas)] = owned(bank);
        books[uint256(Book.PlayerHas)] = owned(players[0]);
    }

    /// @dev Whatever the token says; nothing if it says nothing.
    function owned(address who) private view returns (uint256) {
        (bool done, bytes memory answer) = token.staticcall(abi.encodeCall(HostileDollar.trueBalanceOf, (who)));
        if (!done || answer.length != 32) {
            (done, answer) = token.staticcall(abi.encodeWithSignature("balanceOf(address)", who));
        }
        return done && answer.length == 32 ? abi.decode(answer, (uint256)) : 0;
    }

    function add(uint256[] memory books, Book book, uint256 amount) private pure {
        // What is sent for all members is counted beside the member's own.
        books[uint256(book)] += book == Book.Released ? 2 * amount : amount;
    }

    function take(uint256[] memory books, Book book, uint256 amount) private pure {
        books[uint256(book)] -= amount;
    }

    function send(uint256[] memory books, Book from, Book to, uint256 amount) private pure {
        take(books, from, amount);
        add(books, to, amount);
    }

    /* THE OTHERS */

    function assertNeighboursUntouched() private view {
        for (uint256 i; i < 3; ++i) {
            assertChannel(neighbours[i], 0, 600, 0);
            assertEq(balanceOf(purseOf(neighbours[i])), 700);
        }
        assertEq(address(escrow).balance, 1300);
        assertEq(dollar.balanceOf(address(escrow)), 1300);
        assertEq(address(band).balance, 100);
        assertEq(dollar.balanceOf(address(band)), 100);
    }

    /// @dev Everyone in this token gets everything out: the payees what they hold vouchers for, the payers the rest, the members
    /// theirs.
    function exit(address token_) private {
        for (uint256 i; i < 3; ++i) {
            if (neighbours[i].token == token_) exitFrom(neighbours[i]);
        }
        if (token_ == token) {
            exitFrom(mine);
            exitFrom(ripe);
        }
        assertEq(held(token_), 0, "something stays behind");
        for (uint256 i; i < 3; ++i) {
            if (band.releasable(token_, players[i]) > 0) band.release(token_, players[i]);
        }
        assertEq(holdings(address(band), token_), 0, "something stays behind in the split");
    }

    function exitFrom(Channel memory channel) private {
        uint256 redeemed = redeemedOf(channel);
        uint256 before = holdings(payee, channel.token);
        if (reservedOf(channel) > 0) {
            uint256 voucher = redeemed + reservedOf(channel) / 2;
            escrow.redeem(channel, uint128(voucher), sign(channel, voucher));
            assertEq(holdings(payee, channel.token) - before, voucher - redeemed);
            if (closeAtOf(channel) == 0) requestClose(channel);
            if (vm.getBlockTimestamp() < closeAtOf(channel)) vm.warp(closeAtOf(channel));
            escrow.finalizeClose(channel);
        }
        uint256 balance = balanceOf(purseOf(channel));
        if (balance == 0) return;
        before = holdings(bank, channel.token);
        vm.prank(channel.payer);
        escrow.withdraw(purseOf(channel), balance, bank);
        assertEq(holdings(bank, channel.token) - before, balance);
    }
}
