/* A shared object that is no module. */
int answer(void);

int answer(void)
{
    return 42;
}
