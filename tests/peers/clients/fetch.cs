// Gets a page with .NET's HttpClient: dotnet fetch.dll URL
using System;
using System.Net.Http;

public static class Fetch
{
    public static void Main(string[] arguments)
    {
        var handler = new HttpClientHandler();
        handler.UseProxy = false;
        handler.UseDefaultCredentials = Environment.GetEnvironmentVariable("WITHOUT") == null;
        using (var client = new HttpClient(handler))
        {
            var answer = client.GetAsync(arguments[0]).Result;
            var body = answer.Content.ReadAsStringAsync().Result;
            Console.WriteLine((int)answer.StatusCode + " " + body);
        }
    }
}
