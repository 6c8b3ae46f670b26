/* A stand-in for Windows' iphlpapi.dll that does the worst the documentation allows.
 *
 * The structures are those of mingw-w64's headers, so their layouts are correct. A row that is passed to a callback is
 * unreadable as soon as the callback returns, and only its key is set: the rest is 0xCC. A table ends at an unreadable
 * page, and is unreadable itself after FreeMibTable. The tests control it with the standin_* functions. One lock guards
 * everything, and is never held while a callback runs.
 */
#include <winsock2.h>
#include <ws2ipdef.h>
#include <windows.h>
#include <iphlpapi.h>
#include <netioapi.h>

#include <stdio.h>
#include <string.h>
#include <wchar.h>

#define UNUSED 0xCC
#define DEADLOCK 1131 /* ERROR_POSSIBLE_DEADLOCK */
#define MOST 512
#define PAGE 4096
#define NAME 64
#define QUARANTINE 256

typedef void (WINAPI *ip_callback)(void *context, MIB_IPINTERFACE_ROW *row, MIB_NOTIFICATION_TYPE type);
typedef void (WINAPI *address_callback)(void *context, MIB_UNICASTIPADDRESS_ROW *row, MIB_NOTIFICATION_TYPE type);
typedef void (WINAPI *route_callback)(void *context, MIB_IPFORWARD_ROW2 *row, MIB_NOTIFICATION_TYPE type);

enum subject { IP_INTERFACES, ADDRESSES, ROUTES };

struct ip_interface { MIB_IPINTERFACE_ROW row; BOOL there; LONG hidden_reads; ULONG read_as; };
struct route { MIB_IPFORWARD_ROW2 row; BOOL there; };
struct registration {
    BOOL used, cancelled;
    enum subject subject;
    ADDRESS_FAMILY family;
    void *callback, *context;
    ULONG_PTR handle;
    LONG running;
    HANDLE initial;
};
/* `address` is the address, or the next hop of a route, of which `prefix_length` is the destination's. */
struct key { ULONG64 luid; ULONG index; ULONG family; unsigned char address[16]; UINT8 prefix_length; };
struct fault { char function[48]; LONG family; ULONG code; LONG times; };
struct region { char *base, *start; SIZE_T whole; };
struct counters {
    LONG tables, registrations, running, cancels_inside, cancels_null, cancels_unknown, bad_frees, reads, delivered,
        most_running;
};

static CRITICAL_SECTION lock;
static CONDITION_VARIABLE idle;
static DWORD inside; /* thread-local: not NULL while this thread runs a callback */
static struct ip_interface ips[MOST];
static MIB_IF_ROW2 interfaces[MOST];
static MIB_UNICASTIPADDRESS_ROW addresses[MOST];
static MIB_IFSTACK_ROW stack[MOST];
static struct route routes[MOST];
static ULONG n_ips, n_interfaces, n_addresses, n_stack, n_routes, n_other_routes;
static struct registration registrations[MOST];
static struct fault faults[16];
static struct region tables[MOST], quarantine[QUARANTINE];
static char *row_pages[2 * QUARANTINE]; /* those whose callbacks returned, from the oldest to the newest */
static ULONG n_quarantine, first_row_page, last_row_page;
static struct counters counters;
static ULONG_PTR next_handle = 0x7A1200000010; /* above 2^32 */
static ULONG next_if_index = 100;
static int initial_mode;
static HANDLE initial_gate;

BOOL WINAPI DllMain(HINSTANCE self, DWORD reason, LPVOID reserved)
{
    (void)self, (void)reserved;
    if (reason == DLL_PROCESS_ATTACH) {
        InitializeCriticalSection(&lock);
        InitializeConditionVariable(&idle);
        inside = TlsAlloc();
        initial_gate = CreateEventW(NULL, TRUE, FALSE, NULL);
    }
    return TRUE;
}

static void enter(void) { EnterCriticalSection(&lock); }
static void leave(void) { LeaveCriticalSection(&lock); }

/* Memory ------------------------------------------------------------------------------------------------------------- */

static struct region allocate(SIZE_T size)
{
    SIZE_T whole = (size + PAGE - 1) / PAGE * PAGE;
    DWORD before;
    struct region made = {NULL, NULL, whole};
    made.base = VirtualAlloc(NULL, whole + PAGE, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    VirtualProtect(made.base + whole, PAGE, PAGE_NOACCESS, &before);
    memset(made.base, UNUSED, whole);
    made.start = made.base + (whole - size) / 8 * 8;
    return made;
}

/* Makes it unreadable now and frees it much later, so that using a pointer for too long is an access violation. */
static void retire(struct region gone)
{
    DWORD before;
    char *oldest;
    VirtualProtect(gone.base, gone.whole, PAGE_NOACCESS, &before);
    enter();
    oldest = quarantine[n_quarantine % QUARANTINE].base;
    quarantine[n_quarantine++ % QUARANTINE] = gone;
    leave();
    if (oldest)
        VirtualFree(oldest, 0, MEM_RELEASE);
}

/* Returns a page for a row, filled like a new one. Pages are used again, since the storm needs many, but late. */
static char *row_page(void)
{
    char *page = NULL;
    DWORD before;
    enter();
    if (last_row_page - first_row_page >= QUARANTINE)
        page = row_pages[first_row_page++ % (2 * QUARANTINE)];
    leave();
    if (page)
        VirtualProtect(page, PAGE, PAGE_READWRITE, &before);
    else
        page = VirtualAlloc(NULL, PAGE, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    memset(page, UNUSED, PAGE);
    return page;
}

static void retire_row_page(char *page)
{
    DWORD before;
    VirtualProtect(page, PAGE, PAGE_NOACCESS, &before);
    enter();
    row_pages[last_row_page++ % (2 * QUARANTINE)] = page;
    leave();
}

/* Called with the lock held. */
static void *new_table(ULONG entries, SIZE_T header, SIZE_T row)
{
    struct region made = allocate(header + entries * row);
    for (int i = 0; i < MOST; i++)
        if (!tables[i].base) {
            tables[i] = made;
            counters.tables++;
            memcpy(made.start, &entries, sizeof entries);
            return made.start;
        }
    return NULL;
}

void WINAPI s_FreeMibTable(void *table)
{
    struct region found = {NULL, NULL, 0};
    if (!table)
        return;
    enter();
    for (int i = 0; i < MOST; i++)
        if (tables[i].start == table) {
            found = tables[i];
            tables[i].base = tables[i].start = NULL;
            counters.tables--;
            break;
        }
    if (!found.base)
        counters.bad_frees++;
    leave();
    if (found.base)
        retire(found);
}

/* Faults on demand --------------------------------------------------------------------------------------------------- */

static ULONG fault(const char *function, LONG family)
{
    ULONG code = NO_ERROR;
    enter();
    for (int i = 0; i < 16 && !code; i++) {
        struct fault *f = &faults[i];
        if (f->times && !strcmp(f->function, function) && (f->family < 0 || f->family == family)) {
            code = f->code;
            if (f->times > 0)
                f->times--;
        }
    }
    leave();
    return code;
}

void WINAPI standin_fail(const char *function, LONG family, ULONG code, LONG times)
{
    enter();
    for (int i = 0; i < 16; i++)
        if (!faults[i].times) {
            strncpy(faults[i].function, function, sizeof faults[i].function - 1);
            faults[i].family = family, faults[i].code = code, faults[i].times = times;
            break;
        }
    leave();
}

/* The state that the tests set --------------------------------------------------------------------------------------- */

void WINAPI standin_reset(void)
{
    enter();
    memset(ips, 0, sizeof ips);
    memset(faults, 0, sizeof faults);
    memset(&counters, 0, sizeof counters);
    for (int i = 0; i < MOST; i++) {
        counters.registrations += registrations[i].used;
        counters.tables += tables[i].base != NULL;
    }
    n_ips = n_interfaces = n_addresses = n_stack = n_routes = n_other_routes = 0;
    initial_mode = 0;
    ResetEvent(initial_gate);
    leave();
}

void WINAPI standin_counters(struct counters *into) { enter(); *into = counters; leave(); }
void WINAPI standin_initial_mode(int mode) { initial_mode = mode; }
void WINAPI standin_release_initial(void) { SetEvent(initial_gate); }

static struct ip_interface *find_ip(ULONG64 luid, ULONG index, ULONG family)
{
    for (ULONG i = 0; i < n_ips; i++) {
        MIB_IPINTERFACE_ROW *row = &ips[i].row;
        if (ips[i].there && row->Family == family && (luid ? row->InterfaceLuid.Value == luid : row->InterfaceIndex == index))
            return &ips[i];
    }
    return NULL;
}

static MIB_IF_ROW2 *find_interface(ULONG64 luid, ULONG index)
{
    for (ULONG i = 0; i < n_interfaces; i++)
        if (luid ? interfaces[i].InterfaceLuid.Value == luid : interfaces[i].InterfaceIndex == index)
            return &interfaces[i];
    return NULL;
}

void WINAPI standin_set_ip(const MIB_IPINTERFACE_ROW *row)
{
    enter();
    struct ip_interface *ip = find_ip(row->InterfaceLuid.Value, 0, row->Family);
    for (ULONG i = 0; !ip && i < n_ips; i++)
        if (!ips[i].there)
            ip = &ips[i];
    if (!ip)
        ip = &ips[n_ips++];
    ip->row = *row, ip->there = TRUE, ip->hidden_reads = 0, ip->read_as = 0;
    leave();
}

void WINAPI standin_remove_ip(ULONG64 luid, ULONG family)
{
    enter();
    struct ip_interface *ip = find_ip(luid, 0, family);
    if (ip)
        ip->there = FALSE;
    leave();
}

void WINAPI standin_hide(ULONG64 luid, ULONG family, LONG reads)
{
    enter();
    struct ip_interface *ip = find_ip(luid, 0, family);
    if (ip)
        ip->hidden_reads = reads;
    leave();
}

/* Makes readings of this row return another family, or the true one again if it is 0. */
void WINAPI standin_read_as(ULONG64 luid, ULONG family, ULONG read_as)
{
    enter();
    struct ip_interface *ip = find_ip(luid, 0, family);
    if (ip)
        ip->read_as = read_as;
    leave();
}

void WINAPI standin_set_interface(const MIB_IF_ROW2 *row)
{
    enter();
    MIB_IF_ROW2 *found = find_interface(row->InterfaceLuid.Value, 0);
    *(found ? found : &interfaces[n_interfaces++]) = *row;
    leave();
}

void WINAPI standin_remove_interface(ULONG64 luid)
{
    enter();
    MIB_IF_ROW2 *found = find_interface(luid, 0);
    if (found)
        *found = interfaces[--n_interfaces];
    leave();
}

void WINAPI standin_add_address(const MIB_UNICASTIPADDRESS_ROW *row) { enter(); addresses[n_addresses++] = *row; leave(); }

void WINAPI standin_clear_addresses(ULONG64 luid)
{
    enter();
    for (ULONG i = 0; i < n_addresses;)
        if (addresses[i].InterfaceLuid.Value == luid)
            addresses[i] = addresses[--n_addresses];
        else
            i++;
    leave();
}

/* Sets the route of this destination, interface and next hop. */
void WINAPI standin_set_route(const MIB_IPFORWARD_ROW2 *row)
{
    enter();
    ULONG i = 0;
    while (i < n_routes
           && (routes[i].row.InterfaceLuid.Value != row->InterfaceLuid.Value
               || memcmp(&routes[i].row.DestinationPrefix, &row->DestinationPrefix, sizeof row->DestinationPrefix)
               || memcmp(&routes[i].row.NextHop, &row->NextHop, sizeof row->NextHop)))
        i++;
    n_routes += i == n_routes;
    routes[i].row = *row, routes[i].there = TRUE;
    leave();
}

void WINAPI standin_clear_routes(ULONG64 luid, ULONG family)
{
    enter();
    for (ULONG i = 0; i < n_routes; i++)
        if (routes[i].row.InterfaceLuid.Value == luid && routes[i].row.DestinationPrefix.Prefix.si_family == family)
            routes[i].there = FALSE;
    leave();
}

/* Puts so many routes that are no default routes into the table, half of them in front of the others. */
void WINAPI standin_fill_routes(ULONG count) { enter(); n_other_routes = count; leave(); }

void WINAPI standin_add_stack(ULONG higher, ULONG lower)
{
    enter();
    stack[n_stack].HigherLayerInterfaceIndex = higher, stack[n_stack++].LowerLayerInterfaceIndex = lower;
    leave();
}

/* Reading ------------------------------------------------------------------------------------------------------------ */

static MIB_IPINTERFACE_ROW as_read(const struct ip_interface *ip)
{
    MIB_IPINTERFACE_ROW row = ip->row;
    if (ip->read_as)
        row.Family = (ADDRESS_FAMILY)ip->read_as;
    return row;
}

static BOOL known_family(ULONG family, BOOL unspec) { return family == AF_INET || family == AF_INET6 || (unspec && family == AF_UNSPEC); }

ULONG WINAPI s_GetIpInterfaceEntry(MIB_IPINTERFACE_ROW *row)
{
    ULONG64 luid = row->InterfaceLuid.Value;
    ULONG index = row->InterfaceIndex, family = row->Family, code = fault("GetIpInterfaceEntry", (LONG)family);
    if (!code && (!known_family(family, FALSE) || (!luid && !index)))
        code = ERROR_INVALID_PARAMETER;
    enter();
    counters.reads++;
    if (!code) {
        struct ip_interface *ip = find_ip(luid, index, family);
        BOOL other = find_interface(luid, index) || find_ip(luid, index, family == AF_INET ? AF_INET6 : AF_INET);
        if (ip && ip->hidden_reads > 0)
            ip->hidden_reads--, code = ERROR_FILE_NOT_FOUND;
        else if (ip)
            *row = as_read(ip);
        else
            code = other ? ERROR_NOT_FOUND : ERROR_FILE_NOT_FOUND;
    }
    leave();
    if (code)
        memset(row, UNUSED, sizeof *row);
    return code;
}

ULONG WINAPI s_GetIpInterfaceTable(ADDRESS_FAMILY family, MIB_IPINTERFACE_TABLE **table)
{
    ULONG code = fault("GetIpInterfaceTable", family), count = 0, at = 0;
    *table = NULL;
    if (!code && !known_family(family, TRUE))
        code = ERROR_INVALID_PARAMETER;
    enter();
    for (ULONG i = 0; i < n_ips; i++)
        count += ips[i].there && ips[i].hidden_reads <= 0 && (!family || ips[i].row.Family == family);
    if (!code && !count)
        code = ERROR_NOT_FOUND;
    if (!code) {
        *table = new_table(count, offsetof(MIB_IPINTERFACE_TABLE, Table), sizeof(MIB_IPINTERFACE_ROW));
        for (ULONG i = 0; i < n_ips; i++)
            if (ips[i].there && ips[i].hidden_reads <= 0 && (!family || ips[i].row.Family == family))
                (*table)->Table[at++] = as_read(&ips[i]);
    }
    leave();
    return code;
}

static ULONG read_interface(const char *function, MIB_IF_ROW2 *row)
{
    ULONG64 luid = row->InterfaceLuid.Value;
    ULONG index = row->InterfaceIndex, code = fault(function, -1);
    if (!code && !luid && !index)
        code = ERROR_INVALID_PARAMETER;
    enter();
    MIB_IF_ROW2 *found = code ? NULL : find_interface(luid, index);
    if (found)
        *row = *found;
    leave();
    if (found)
        return NO_ERROR;
    memset(row, UNUSED, sizeof *row);
    return code ? code : ERROR_FILE_NOT_FOUND;
}

ULONG WINAPI s_GetIfEntry2(MIB_IF_ROW2 *row) { return read_interface("GetIfEntry2", row); }

ULONG WINAPI s_GetIfEntry2Ex(ULONG level, MIB_IF_ROW2 *row)
{
    ULONG code = level == 0 || level == 2 ? read_interface("GetIfEntry2Ex", row) : ERROR_INVALID_PARAMETER;
    if (!code && level == 2)
        memset(&row->InOctets, UNUSED, sizeof *row - offsetof(MIB_IF_ROW2, InOctets));
    return code;
}

ULONG WINAPI s_GetIfTable2(MIB_IF_TABLE2 **table)
{
    ULONG code = fault("GetIfTable2", -1);
    *table = NULL;
    enter();
    if (!code) {
        *table = new_table(n_interfaces, offsetof(MIB_IF_TABLE2, Table), sizeof(MIB_IF_ROW2));
        memcpy((*table)->Table, interfaces, n_interfaces * sizeof *interfaces);
    }
    leave();
    return code;
}

ULONG WINAPI s_GetIfTable2Ex(ULONG level, MIB_IF_TABLE2 **table) { (void)level; return s_GetIfTable2(table); }

ULONG WINAPI s_GetIfStackTable(MIB_IFSTACK_TABLE **table)
{
    ULONG code = fault("GetIfStackTable", -1);
    *table = NULL;
    enter();
    if (!code) {
        *table = new_table(n_stack, offsetof(MIB_IFSTACK_TABLE, Table), sizeof(MIB_IFSTACK_ROW));
        memcpy((*table)->Table, stack, n_stack * sizeof *stack);
    }
    leave();
    return code;
}

ULONG WINAPI s_GetInvertedIfStackTable(MIB_INVERTEDIFSTACK_TABLE **table)
{
    ULONG code = fault("GetInvertedIfStackTable", -1);
    *table = NULL;
    enter();
    if (!code) {
        *table = new_table(n_stack, offsetof(MIB_INVERTEDIFSTACK_TABLE, Table), sizeof(MIB_INVERTEDIFSTACK_ROW));
        for (ULONG i = 0; i < n_stack; i++) {
            (*table)->Table[i].LowerLayerInterfaceIndex = stack[i].LowerLayerInterfaceIndex;
            (*table)->Table[i].HigherLayerInterfaceIndex = stack[i].HigherLayerInterfaceIndex;
        }
    }
    leave();
    return code;
}

ULONG WINAPI s_GetUnicastIpAddressTable(ADDRESS_FAMILY family, MIB_UNICASTIPADDRESS_TABLE **table)
{
    ULONG code = fault("GetUnicastIpAddressTable", family), count = 0, at = 0;
    *table = NULL;
    enter();
    for (ULONG i = 0; i < n_addresses; i++)
        count += !family || addresses[i].Address.si_family == family;
    if (!code && !count)
        code = ERROR_NOT_FOUND;
    if (!code) {
        *table = new_table(count, offsetof(MIB_UNICASTIPADDRESS_TABLE, Table), sizeof(MIB_UNICASTIPADDRESS_ROW));
        for (ULONG i = 0; i < n_addresses; i++)
            if (!family || addresses[i].Address.si_family == family)
                (*table)->Table[at++] = addresses[i];
    }
    leave();
    return code;
}

static ULONG default_family(const struct route *route) { return route->there ? route->row.DestinationPrefix.Prefix.si_family : 0; }

static void other_route(MIB_IPFORWARD_ROW2 *row, ULONG number, ULONG family)
{
    memset(row, 0, sizeof *row);
    row->InterfaceLuid.Value = 6ull << 48 | 1;
    row->DestinationPrefix.Prefix.si_family = row->NextHop.si_family = (ADDRESS_FAMILY)(family ? family : AF_INET);
    memcpy(&row->DestinationPrefix.Prefix.Ipv4.sin_addr, &number, sizeof number);
    row->DestinationPrefix.PrefixLength = (UINT8)(1 + number % 32);
}

ULONG WINAPI s_GetIpForwardTable2(ADDRESS_FAMILY family, MIB_IPFORWARD_TABLE2 **table)
{
    ULONG code = fault("GetIpForwardTable2", family), count, at = 0;
    *table = NULL;
    if (!code && !known_family(family, TRUE))
        code = ERROR_INVALID_PARAMETER;
    enter();
    count = n_other_routes;
    for (ULONG i = 0; i < n_routes; i++)
        count += default_family(&routes[i]) && (!family || default_family(&routes[i]) == family);
    if (!code && !count)
        code = ERROR_NOT_FOUND;
    if (!code) {
        *table = new_table(count, offsetof(MIB_IPFORWARD_TABLE2, Table), sizeof(MIB_IPFORWARD_ROW2));
        while (at < n_other_routes / 2)
            other_route(&(*table)->Table[at], at, family), at++;
        for (ULONG i = 0; i < n_routes; i++)
            if (default_family(&routes[i]) && (!family || default_family(&routes[i]) == family))
                (*table)->Table[at++] = routes[i].row;
        while (at < count)
            other_route(&(*table)->Table[at], at, family), at++;
    }
    leave();
    return code;
}

/* Conversions: each fails with 87 for a value that no interface has, as the documentation has it for most of them. */

static ULONG luid_to(const char *function, const ULONG64 *luid, MIB_IF_ROW2 *into)
{
    ULONG code = fault(function, -1);
    enter();
    MIB_IF_ROW2 *found = code || !luid || !*luid ? NULL : find_interface(*luid, 0);
    if (found)
        *into = *found;
    leave();
    return found ? NO_ERROR : code ? code : ERROR_INVALID_PARAMETER;
}

static ULONG text_to_luid(const char *function, const WCHAR *text, BOOL by_alias, ULONG64 *luid);

ULONG WINAPI s_ConvertInterfaceIndexToLuid(ULONG index, ULONG64 *luid)
{
    ULONG code = fault("ConvertInterfaceIndexToLuid", -1);
    enter();
    MIB_IF_ROW2 *found = code || !index ? NULL : find_interface(0, index);
    *luid = found ? found->InterfaceLuid.Value : 0;
    leave();
    return found ? NO_ERROR : code ? code : index ? ERROR_FILE_NOT_FOUND : ERROR_INVALID_PARAMETER;
}

ULONG WINAPI s_ConvertInterfaceLuidToIndex(const ULONG64 *luid, ULONG *index)
{
    MIB_IF_ROW2 row;
    ULONG code = luid_to("ConvertInterfaceLuidToIndex", luid, &row);
    *index = code ? 0 : row.InterfaceIndex;
    return code;
}

ULONG WINAPI s_ConvertInterfaceLuidToAlias(const ULONG64 *luid, WCHAR *alias, SIZE_T length)
{
    MIB_IF_ROW2 row;
    ULONG code = luid_to("ConvertInterfaceLuidToAlias", luid, &row);
    if (!code && length <= wcslen(row.Alias))
        code = ERROR_NOT_ENOUGH_MEMORY;
    if (!code)
        wcscpy(alias, row.Alias);
    return code;
}

ULONG WINAPI s_ConvertInterfaceAliasToLuid(const WCHAR *alias, ULONG64 *luid)
{
    return text_to_luid("ConvertInterfaceAliasToLuid", alias, TRUE, luid);
}

/* A name as Windows makes them: the type and the index of the LUID. */
static void name_of(const MIB_IF_ROW2 *row, WCHAR *name)
{
    _snwprintf(name, NAME, row->Type == 24 ? L"loopback_%u" : L"ethernet_%u", (unsigned)row->InterfaceLuid.Info.NetLuidIndex);
}

ULONG WINAPI s_ConvertInterfaceLuidToNameW(const ULONG64 *luid, WCHAR *name, SIZE_T length)
{
    MIB_IF_ROW2 row;
    WCHAR made[NAME];
    ULONG code = luid_to("ConvertInterfaceLuidToNameW", luid, &row);
    if (code)
        return code;
    name_of(&row, made);
    if (length <= wcslen(made))
        return ERROR_NOT_ENOUGH_MEMORY;
    wcscpy(name, made);
    return NO_ERROR;
}

ULONG WINAPI s_ConvertInterfaceNameToLuidW(const WCHAR *name, ULONG64 *luid)
{
    return text_to_luid("ConvertInterfaceNameToLuidW", name, FALSE, luid);
}

static ULONG text_to_luid(const char *function, const WCHAR *text, BOOL by_alias, ULONG64 *luid)
{
    ULONG code = fault(function, -1);
    WCHAR made[NAME];
    *luid = 0;
    enter();
    for (ULONG i = 0; !code && i < n_interfaces; i++) {
        name_of(&interfaces[i], made);
        if (!wcscmp(by_alias ? interfaces[i].Alias : made, text))
            *luid = interfaces[i].InterfaceLuid.Value;
    }
    leave();
    return code ? code : *luid ? NO_ERROR : ERROR_INVALID_PARAMETER;
}

ULONG WINAPI s_ConvertInterfaceLuidToGuid(const ULONG64 *luid, GUID *guid)
{
    MIB_IF_ROW2 row;
    ULONG code = luid_to("ConvertInterfaceLuidToGuid", luid, &row);
    if (!code)
        *guid = row.InterfaceGuid;
    return code;
}

ULONG WINAPI s_ConvertInterfaceGuidToLuid(const GUID *guid, ULONG64 *luid)
{
    ULONG code = fault("ConvertInterfaceGuidToLuid", -1);
    *luid = 0;
    enter();
    for (ULONG i = 0; !code && i < n_interfaces; i++)
        if (!memcmp(&interfaces[i].InterfaceGuid, guid, sizeof *guid))
            *luid = interfaces[i].InterfaceLuid.Value;
    leave();
    return code ? code : *luid ? NO_ERROR : ERROR_INVALID_PARAMETER;
}

/* _socket.pyd imports these two, and ConvertInterfaceLuidToNameW. */
ULONG WINAPI s_if_nametoindex(const char *name) { (void)name; return 0; }
char *WINAPI s_if_indextoname(ULONG index, char *name) { (void)index, (void)name; return NULL; }

/* Notifications ------------------------------------------------------------------------------------------------------ */

static void call_back(struct registration *r, const struct key *key, MIB_NOTIFICATION_TYPE type)
{
    char *page = key ? row_page() : NULL;
    TlsSetValue(inside, r);
    if (r->subject == ROUTES) {
        MIB_IPFORWARD_ROW2 *row = (void *)page;
        if (row) {
            memset(&row->DestinationPrefix.Prefix, 0, sizeof row->DestinationPrefix.Prefix);
            memset(&row->NextHop, 0, sizeof row->NextHop);
            row->InterfaceLuid.Value = key->luid, row->InterfaceIndex = key->index;
            row->DestinationPrefix.Prefix.si_family = row->NextHop.si_family = (ADDRESS_FAMILY)key->family;
            row->DestinationPrefix.PrefixLength = key->prefix_length;
            if (key->family == AF_INET)
                memcpy(&row->NextHop.Ipv4.sin_addr, key->address, 4);
            else
                memcpy(&row->NextHop.Ipv6.sin6_addr, key->address, 16);
        }
        ((route_callback)r->callback)(r->context, row, type);
    } else if (r->subject == ADDRESSES) {
        MIB_UNICASTIPADDRESS_ROW *row = (void *)page;
        if (row) {
            row->Address.si_family = (ADDRESS_FAMILY)key->family, row->InterfaceLuid.Value = key->luid, row->InterfaceIndex = key->index;
            if (key->family == AF_INET)
                memcpy(&row->Address.Ipv4.sin_addr, key->address, 4);
            else
                memcpy(&row->Address.Ipv6.sin6_addr, key->address, 16);
        }
        ((address_callback)r->callback)(r->context, row, type);
    } else {
        MIB_IPINTERFACE_ROW *row = (void *)page;
        if (row)
            row->Family = (ADDRESS_FAMILY)key->family, row->InterfaceLuid.Value = key->luid, row->InterfaceIndex = key->index;
        ((ip_callback)r->callback)(r->context, row, type);
    }
    TlsSetValue(inside, NULL);
    if (page)
        retire_row_page(page);
}

/* Returns TRUE if this registration is to be called; then it counts as running from here to end(). */
static BOOL begin(struct registration *r, ULONG family, enum subject subject)
{
    enter();
    BOOL wanted = r->used && !r->cancelled && r->subject == subject && (!r->family || r->family == family);
    if (wanted) {
        r->running++;
        if (++counters.running > counters.most_running)
            counters.most_running = counters.running;
        counters.delivered++;
    }
    leave();
    return wanted;
}

static void end(struct registration *r)
{
    enter();
    r->running--, counters.running--;
    WakeAllConditionVariable(&idle);
    leave();
}

static void deliver(const struct key *key, MIB_NOTIFICATION_TYPE type, enum subject subject)
{
    for (int i = 0; i < MOST; i++) {
        struct registration *r = &registrations[i];
        if (begin(r, key->family, subject)) {
            call_back(r, key, type);
            end(r);
        }
    }
}

static DWORD WINAPI initial_thread(void *argument)
{
    struct registration *r = argument;
    if (initial_mode == 2)
        WaitForSingleObject(initial_gate, INFINITE);
    if (begin(r, r->family, r->subject)) {
        call_back(r, NULL, MibInitialNotification);
        end(r);
    }
    return 0;
}

static ULONG enlist(const char *function, ADDRESS_FAMILY family, void *callback, void *context, enum subject subject, BOOLEAN initial, HANDLE *handle)
{
    ULONG code = fault(function, family);
    struct registration *r = NULL;
    if (handle)
        *handle = NULL;
    if (!code && (!known_family(family, TRUE) || !callback || !handle))
        code = ERROR_INVALID_PARAMETER;
    if (code)
        return code;
    enter();
    for (int i = 0; i < MOST && !r; i++)
        if (!registrations[i].used)
            r = &registrations[i];
    if (!r) {
        leave();
        return ERROR_NOT_ENOUGH_MEMORY;
    }
    memset(r, 0, sizeof *r);
    r->family = family, r->callback = callback, r->context = context, r->subject = subject;
    r->handle = next_handle += 16;
    r->used = TRUE;
    counters.registrations++;
    leave();
    /* The initial call: 0 in this thread and 1 in another, both before the handle is stored; 2 after this returned. */
    if (initial && initial_mode == 0)
        initial_thread(r);
    else if (initial) {
        r->initial = CreateThread(NULL, 0, initial_thread, r, 0, NULL);
        if (initial_mode == 1)
            WaitForSingleObject(r->initial, INFINITE);
    }
    *handle = (HANDLE)r->handle;
    return NO_ERROR;
}

ULONG WINAPI s_NotifyIpInterfaceChange(ADDRESS_FAMILY family, void *callback, void *context, BOOLEAN initial, HANDLE *handle)
{
    return enlist("NotifyIpInterfaceChange", family, callback, context, IP_INTERFACES, initial, handle);
}

ULONG WINAPI s_NotifyUnicastIpAddressChange(ADDRESS_FAMILY family, void *callback, void *context, BOOLEAN initial, HANDLE *handle)
{
    return enlist("NotifyUnicastIpAddressChange", family, callback, context, ADDRESSES, initial, handle);
}

ULONG WINAPI s_NotifyRouteChange2(ADDRESS_FAMILY family, void *callback, void *context, BOOLEAN initial, HANDLE *handle)
{
    return enlist("NotifyRouteChange2", family, callback, context, ROUTES, initial, handle);
}

ULONG WINAPI s_CancelMibChangeNotify2(HANDLE handle)
{
    ULONG code = fault("CancelMibChangeNotify2", -1);
    struct registration *r = NULL;
    HANDLE initial = NULL;
    if (code)
        return code;
    enter();
    for (int i = 0; i < MOST; i++)
        if (registrations[i].used && !registrations[i].cancelled && (HANDLE)registrations[i].handle == handle)
            r = &registrations[i];
    if (!handle)
        counters.cancels_null++, code = ERROR_INVALID_PARAMETER;
    else if (TlsGetValue(inside))
        counters.cancels_inside++, code = DEADLOCK;
    else if (!r)
        counters.cancels_unknown++, code = ERROR_INVALID_HANDLE;
    else {
        r->cancelled = TRUE;
        initial = r->initial;
        while (r->running > 0)
            SleepConditionVariableCS(&idle, &lock, INFINITE);
    }
    leave();
    if (code)
        return code;
    if (initial) {
        SetEvent(initial_gate);
        WaitForSingleObject(initial, INFINITE);
        CloseHandle(initial);
    }
    enter();
    r->used = FALSE;
    counters.registrations--;
    leave();
    return NO_ERROR;
}

/* Control ------------------------------------------------------------------------------------------------------------ */

struct errand { struct key key; MIB_NOTIFICATION_TYPE type; enum subject subject; HANDLE start; };

static DWORD WINAPI run_errand(void *argument)
{
    struct errand *errand = argument;
    if (errand->start)
        WaitForSingleObject(errand->start, INFINITE);
    deliver(&errand->key, errand->type, errand->subject);
    return 0;
}

static void run_in_a_thread(struct errand *errand)
{
    HANDLE thread = CreateThread(NULL, 0, run_errand, errand, 0, NULL);
    WaitForSingleObject(thread, INFINITE);
    CloseHandle(thread);
}

/* Reports a change in a thread of the system; returns when every callback has returned. */
void WINAPI standin_notify(ULONG64 luid, ULONG index, ULONG family, int type)
{
    struct errand errand = {{luid, index, family, {0}, 0}, (MIB_NOTIFICATION_TYPE)type, IP_INTERFACES, NULL};
    run_in_a_thread(&errand);
}

/* The same of an address; `octets` are 4 or 16. */
void WINAPI standin_notify_address(ULONG64 luid, ULONG index, ULONG family, int type, const void *octets)
{
    struct errand errand = {{luid, index, family, {0}, 0}, (MIB_NOTIFICATION_TYPE)type, ADDRESSES, NULL};
    memcpy(errand.key.address, octets, family == AF_INET ? 4 : 16);
    run_in_a_thread(&errand);
}

/* The same of a route; `octets` are those of its next hop. */
void WINAPI standin_notify_route(ULONG64 luid, ULONG index, ULONG family, int type, const void *octets, UINT8 prefix_length)
{
    struct errand errand = {{luid, index, family, {0}, prefix_length}, (MIB_NOTIFICATION_TYPE)type, ROUTES, NULL};
    memcpy(errand.key.address, octets, family == AF_INET ? 4 : 16);
    run_in_a_thread(&errand);
}

/* Reports two changes in two threads at once. */
void WINAPI standin_notify_twice(ULONG64 luid, ULONG index, ULONG family, int first, int second)
{
    HANDLE start = CreateEventW(NULL, TRUE, FALSE, NULL), threads[2];
    struct errand errands[2] = {
        {{luid, index, family, {0}, 0}, (MIB_NOTIFICATION_TYPE)first, IP_INTERFACES, start},
        {{luid, index, family, {0}, 0}, (MIB_NOTIFICATION_TYPE)second, IP_INTERFACES, start},
    };
    for (int i = 0; i < 2; i++)
        threads[i] = CreateThread(NULL, 0, run_errand, &errands[i], 0, NULL);
    SetEvent(start);
    WaitForMultipleObjects(2, threads, TRUE, INFINITE);
    for (int i = 0; i < 2; i++)
        CloseHandle(threads[i]);
    CloseHandle(start);
}

struct storm { ULONG changes, seed; };

static ULONG next_random(ULONG *state) { return *state = *state * 1664525u + 1013904223u, *state >> 8; }

/* Changes one default route: another metric, removed, or added again; then reports it. */
static void storm_route(ULONG *state)
{
    MIB_NOTIFICATION_TYPE type = MibParameterNotification;
    ULONG draw = next_random(state) % 100;
    enter();
    struct route *route = &routes[next_random(state) % n_routes];
    if (!route->there)
        route->there = TRUE, type = MibAddInstance;
    else if (draw < 20)
        route->there = FALSE, type = MibDeleteInstance;
    route->row.Metric = next_random(state) % 500;
    struct key key = {route->row.InterfaceLuid.Value, route->row.InterfaceIndex, AF_INET, {0}, 0};
    memcpy(key.address, &route->row.NextHop.Ipv4.sin_addr, 4);
    leave();
    deliver(&key, type, ROUTES);
}

/* Changes one row: another MTU, removed, or added again with another index; then reports it. */
static void storm_change(ULONG *state)
{
    MIB_NOTIFICATION_TYPE type = MibParameterNotification;
    ULONG draw = next_random(state) % 100;
    enter();
    struct ip_interface *ip = &ips[next_random(state) % n_ips];
    if (!ip->there) {
        ip->there = TRUE, type = MibAddInstance;
        ip->row.InterfaceIndex = next_if_index++;
        ip->hidden_reads = draw < 20;
    } else if (draw < 5)
        ip->there = FALSE, type = MibDeleteInstance;
    else
        ip->row.NlMtu = 1280 + next_random(state) % 8000;
    struct key key = {ip->row.InterfaceLuid.Value, ip->row.InterfaceIndex, ip->row.Family, {0}, 0};
    leave();
    if (draw % 10 == 0)
        Sleep(0);
    deliver(&key, type, IP_INTERFACES);
}

static DWORD WINAPI run_storm(void *argument)
{
    struct storm *storm = argument;
    for (ULONG i = 0; i < storm->changes; i++)
        if (n_routes && next_random(&storm->seed) % 4 == 0)
            storm_route(&storm->seed);
        else
            storm_change(&storm->seed);
    return 0;
}

/* Makes `changes` random changes in each of two threads; returns when both are done. */
void WINAPI standin_storm(ULONG changes, ULONG seed)
{
    struct storm storms[2] = {{changes, seed}, {changes, seed + 1}};
    HANDLE threads[2];
    for (int i = 0; i < 2; i++)
        threads[i] = CreateThread(NULL, 0, run_storm, &storms[i], 0, NULL);
    WaitForMultipleObjects(2, threads, TRUE, INFINITE);
    for (int i = 0; i < 2; i++)
        CloseHandle(threads[i]);
}
